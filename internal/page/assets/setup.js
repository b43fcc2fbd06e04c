// The one-time link carries its token in the fragment, which no proxy and no server log ever sees. It is put into the
// field and taken out of the address.
"use strict";
(() => {
  const token = location.hash.slice(1);
  const field = document.getElementById("token");
  if (!token || !field) return;
  field.value = decodeURIComponent(token);
  history.replaceState(null, "", location.pathname);
  document.getElementById("name")?.focus();
})();
