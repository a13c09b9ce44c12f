package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/backchannel-im/backchannel/shared/userdata"
)

const userHelp = `
Answers a user's request for access or erasure. export prints the store's records of
the user, a JSON document a line; erase deletes them, and names the records that are
kept and why: accounting records, bans, records of rooms. Both commands call the
bundle or, with split functions, job-worker.

An erasure processes all records twice: at once and, for events that were in flight,
26 hours later. Records of unfinished work, such as an open ticket, are checked again
every 26 hours. Without a queue (QUEUE_URL) each later pass is another run of the
command.

Records in IM are deleted with the account: delete it in IM's console, or by REST's
account_delete.

  imctl user export alice > alice.jsonl
  imctl user erase alice -yes`

func user(ctx context.Context, t *tool, args []string) error {
	f := t.flags(userHelp)
	at := t.serverFlags(f)
	yes := f.Bool("yes", false, "confirm the erasure; imctl does not ask")
	rest, err := t.parse(f, args, 2, 2)
	if err != nil {
		return err
	}
	path := "/users/" + url.PathEscape(rest[1]) + "/records"
	switch rest[0] {
	case "export":
		return exportUser(ctx, t, at, path)
	case "erase":
		if !*yes {
			return misuse("erasing cannot be undone: look at imctl user export " + rest[1] + " first, then add -yes")
		}
		return eraseUser(ctx, t, at, path)
	}
	fmt.Fprintf(t.errs, "usage: imctl %s\n", t.usage)
	return errUsage
}

func exportUser(ctx context.Context, t *tool, at *server, path string) error {
	enc := json.NewEncoder(t.out)
	enc.SetEscapeHTML(false)
	for after, pages := "", 0; ; pages++ {
		var page userdata.Page
		if err := at.call(ctx, http.MethodGet, path+"?limit=100&after="+url.QueryEscape(after), nil, &page); err != nil {
			return err
		}
		for _, r := range page.Records {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
		if after = page.Next; after == "" {
			return nil
		}
	}
}

func eraseUser(ctx context.Context, t *tool, at *server, path string) error {
	var all userdata.Erased
	add := func(list, more []userdata.Kept) []userdata.Kept {
		for _, k := range more {
			if !slices.Contains(list, k) {
				list = append(list, k)
			}
		}
		return list
	}
	for range 10_000 {
		var done userdata.Erased
		if err := at.call(ctx, http.MethodDelete, path, nil, &done); err != nil {
			return fmt.Errorf("%w; %d records were erased, the same command goes on", err, all.Erased)
		}
		all.Erased += done.Erased
		all.Kept, all.Waits = add(all.Kept, done.Kept), add(all.Waits, done.Waits)
		if done.More {
			continue
		}
		fmt.Fprintf(t.out, "%d records erased\n", all.Erased)
		if !done.Again.IsZero() {
			fmt.Fprintf(t.out, "records that wait, and those that were being written, are checked again at %s; without QUEUE_URL, run this command again then\n", done.Again.Format(time.RFC3339))
		}
		for _, k := range all.Waits {
			fmt.Fprintf(t.out, "waits until it is over, %s: %s\n", k.Feature, k.Why)
		}
		for _, k := range all.Kept {
			fmt.Fprintf(t.out, "stays, %s: %s\n", k.Feature, k.Why)
		}
		return nil
	}
	return errors.New("records of the user are written faster than they are erased; is the user still online?")
}
