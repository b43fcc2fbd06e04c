// A page that stands between us and another site for a moment: its one form is sent at once. Without script a person presses
// its button.
"use strict";
document.querySelector("form[data-submit]")?.requestSubmit();
