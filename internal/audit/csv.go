package audit

import (
	"strings"
	"time"
)

// CSVHeader names the columns of an export of the log.
var CSVHeader = []string{
	"time", "actor_kind", "actor_id", "actor_name", "action", "target_kind", "target_id", "target_name", "user", "outcome", "code",
	"reason", "ip", "door", "request", "before", "after",
}

// CSVRow gives an event as a line of the export.
func CSVRow(e Event) []string {
	row := []string{
		time.UnixMicro(e.At).UTC().Format("2006-01-02T15:04:05.000000Z"), string(e.Actor.Kind), e.Actor.ID, e.Actor.Name, e.Action,
		e.TargetKind, e.TargetID, e.TargetName, string(e.User), e.Outcome, e.Code, e.Reason, e.Actor.IP, string(e.Actor.Door),
		e.Actor.Request, string(e.Before), string(e.After),
	}
	for i := range row {
		row[i] = Cell(row[i])
	}
	return row
}

// Cell keeps a spreadsheet from running what a stranger wrote (CSV injection): a display name such as
// =HYPERLINK(...) would be a formula there. A leading apostrophe makes it text.
func Cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r\n", rune(s[0])) {
		return "'" + s
	}
	return s
}
