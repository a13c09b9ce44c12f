package main

import (
	"context"
	"fmt"
	"path"
	"time"

	"github.com/backchannel-im/backchannel/shared/retry"
)

const replayHelp = `
Sends the callbacks of a file that imctl record wrote, in their order and with new
signatures, and lists those whose answer differs from the recorded one.

  imctl replay callbacks.jsonl -filter 'Group.*SendMsg' -speed 10

-speed 1 keeps the recorded pauses, -speed 10 makes them ten times shorter, and -speed 0
leaves them out.`

func replay(ctx context.Context, t *tool, args []string) error {
	f := t.flags(replayHelp)
	to := t.endpointFlags(f)
	filter := f.String("filter", "*", "`pattern` of commands to send; * stands for anything")
	speed := f.Float64("speed", 0, "how many times as fast as it was; 0 does not wait")
	rest, err := t.parse(f, args, 1, 1)
	if err != nil {
		return err
	}
	if _, err := path.Match(*filter, ""); err != nil || *speed < 0 {
		fmt.Fprintln(t.errs, "imctl replay: -filter must be a pattern and -speed not below 0")
		return errUsage
	}
	signer, err := to.signer()
	if err != nil {
		return err
	}
	var last time.Time
	sent, differ := 0, 0
	err = readTape(rest[0], func(e entry) error {
		if wanted, _ := path.Match(*filter, e.Command); !wanted {
			return nil
		}
		if *speed > 0 && !last.IsZero() {
			if err := retry.Sleep(ctx, time.Duration(float64(e.At.Sub(last)) / *speed)); err != nil {
				return err
			}
		}
		last = e.At
		r, err := signer.Request(ctx, to.url, e.Command, e.Body)
		if err != nil {
			return err
		}
		a, err := send(r)
		if err != nil {
			return err
		}
		sent++
		was := answer{status: e.Status, body: e.Answer}.verdict()
		if now := a.verdict(); now != was {
			differ++
			fmt.Fprintf(t.out, "%s of %s: %s, was %s\n", e.Command, e.At.Format(time.RFC3339Nano), now, was)
		}
		return nil
	})
	if sent > 0 || err == nil {
		fmt.Fprintf(t.out, "%d sent, %d answered otherwise\n", sent, differ)
	}
	return err
}
