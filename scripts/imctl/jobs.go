package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/backchannel-im/backchannel/shared/jobdesk"
)

const jobsHelp = `
Without arguments, counts the waiting jobs and lists the dead ones, whose last
attempt failed. show prints one job, redrive gives dead jobs all their attempts
again ("redrive all" every listed one), drop deletes dead jobs.

  imctl jobs
  imctl jobs redrive 5J3KQ2...`

func jobs(ctx context.Context, t *tool, args []string) error {
	f := t.flags(jobsHelp)
	at := t.serverFlags(f)
	rest, err := t.parse(f, args, 0, -1)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return listJobs(ctx, t, at)
	}
	verb, ids := rest[0], rest[1:]
	methods := map[string]struct{ method, suffix string }{
		"show": {http.MethodGet, ""}, "redrive": {http.MethodPost, "/redrive"}, "drop": {http.MethodDelete, ""},
	}
	do, known := methods[verb]
	if !known || len(ids) == 0 {
		fmt.Fprintf(t.errs, "usage: imctl %s\n", t.usage)
		return errUsage
	}
	if verb == "redrive" && len(ids) == 1 && ids[0] == "all" {
		if ids, err = deadJobs(ctx, at); err != nil {
			return err
		}
	}
	for _, id := range ids {
		var j jobdesk.Job
		if err := at.call(ctx, do.method, "/jobs/"+url.PathEscape(id)+do.suffix, nil, &j); err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		if verb == "drop" {
			fmt.Fprintf(t.out, "%s dropped\n", id)
			continue
		}
		printJob(t, j)
	}
	return nil
}

func listJobs(ctx context.Context, t *tool, at *server) error {
	var o jobdesk.Overview
	if err := at.call(ctx, http.MethodGet, "/jobs", nil, &o); err != nil {
		return err
	}
	fmt.Fprintf(t.out, "%d waiting, %d dead\n", o.Waiting, o.Dead)
	if len(o.Jobs) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nID\tKIND\tATTEMPTS\tERROR")
	for _, j := range o.Jobs {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", j.ID, j.Kind, j.Attempts, j.Error)
	}
	if int64(len(o.Jobs)) < o.Dead {
		fmt.Fprintf(w, "and %d more\n", o.Dead-int64(len(o.Jobs)))
	}
	return w.Flush()
}

func deadJobs(ctx context.Context, at *server) ([]string, error) {
	var o jobdesk.Overview
	err := at.call(ctx, http.MethodGet, "/jobs", nil, &o)
	ids := make([]string, len(o.Jobs))
	for i, j := range o.Jobs {
		ids[i] = j.ID
	}
	return ids, err
}

func printJob(t *tool, j jobdesk.Job) {
	fmt.Fprintf(t.out, "%s  %s, %s lane, %s after %d attempts, %d bytes, due %s\n", j.ID, j.Kind, j.Lane, j.State, j.Attempts, j.Bytes, j.Due.Format(time.RFC3339))
	if !j.Leased.IsZero() {
		fmt.Fprintf(t.out, "  in hand until %s\n", j.Leased.Format(time.RFC3339))
	}
	if j.Error != "" {
		fmt.Fprintf(t.out, "  last error: %s\n", j.Error)
	}
}
