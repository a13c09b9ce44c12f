package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/backchannel-im/backchannel/shared/moderation/lists"
)

const rulesHelp = `
Activates rule sets of the word filter without a deployment. Compile one with
scripts/rulec, upload the image, and stage its URL with the checksum that rulec
prints. A staged rule set is first a candidate for a share of the rooms; running
functions apply a change within half a minute.

Without arguments, shows the active rule set. stage with another share changes the
candidate's share. promote activates the candidate for all messages. rollback removes
the candidate, or without one reactivates the previous rule set.

  imctl rules stage https://files.example.com/rules.image#sha256=6f1e... -share 10
  imctl rules promote
  imctl rules rollback`

func rules(ctx context.Context, t *tool, args []string) error {
	f := t.flags(rulesHelp)
	at := t.serverFlags(f)
	share := f.Int("share", 10, "`percent` of the rooms that a candidate judges")
	rest, err := t.parse(f, args, 0, 2)
	if err != nil {
		return err
	}
	return release(ctx, t, at, "/moderation/lists", *share, rest)
}

// release puts images of some kind into force.
func release(ctx context.Context, t *tool, at *server, path string, share int, rest []string) (err error) {
	var s lists.Standing
	verb := ""
	if len(rest) > 0 {
		verb = rest[0]
	}
	switch {
	case verb == "":
		err = at.call(ctx, http.MethodGet, path, nil, &s)
	case verb == "stage" && len(rest) == 2:
		err = at.call(ctx, http.MethodPost, path+"/candidate", map[string]any{"image": rest[1], "share": share}, &s)
	case (verb == "promote" || verb == "rollback") && len(rest) == 1:
		if err = at.call(ctx, http.MethodGet, path, nil, &s); err != nil {
			return err
		}
		r := s.Candidate
		if r == nil && verb == "rollback" {
			r = s.Active
		}
		if r == nil {
			return errors.New("there is nothing to " + verb)
		}
		err = at.call(ctx, http.MethodPost, path+"/"+verb, map[string]any{"sha256": r.SHA256}, &s)
	default:
		fmt.Fprintf(t.errs, "usage: imctl %s\n", t.usage)
		return errUsage
	}
	if err != nil {
		return err
	}
	return printStanding(t, s)
}

func printStanding(t *tool, s lists.Standing) error {
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tVERSION\tCHECKSUM\tSTAGED\tBY")
	line := func(state string, r lists.Release) {
		fmt.Fprintf(w, "%s\t%s\t%.12s\t%s\t%s\n", state, r.Version, r.SHA256, r.At.Format(time.RFC3339), r.By)
	}
	if s.Candidate != nil {
		line(fmt.Sprintf("candidate, %d %% of rooms", s.Candidate.Share), *s.Candidate)
	}
	if s.Active != nil {
		line("in force", *s.Active)
	} else {
		fmt.Fprintln(w, "in force\t(as deployed)\t\t\t")
	}
	for _, r := range s.Earlier {
		line("earlier", r)
	}
	return w.Flush()
}
