package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/mail"
	"github.com/backchannel-im/backchannel/shared/retry"
)

const mailHelp = `
plan prints how a mail would be sent: calls, time, cost. send sends it and shows the
progress, unless -detach is given; status shows a mail, with -watch until it is sent;
pause, resume and cancel change a mail that is being sent. Exactly one of -users, -group,
-tag, -file and -everyone names the recipients. A file has one UserID a line and may have
millions; invalid lines are listed, and nothing is sent unless -skip-broken skips them.
After an interruption, send with the same -key continues.

  imctl mail plan -file winners.txt -title "You won" -attach gem=5
  imctl mail send -file winners.txt -title "You won" -attach gem=5 -key winners-may
  imctl mail status m01a2285d9f50z6uxcedkqa -watch`

// mailFlags are the flags of all words of imctl mail.
type mailFlags struct {
	users, group, tag, file, title, text, attach, expires, key string
	everyone, skip, detach, watch                              bool
}

func runMail(ctx context.Context, t *tool, args []string) error {
	f := t.flags(mailHelp)
	at := t.serverFlags(f)
	var m mailFlags
	f.StringVar(&m.users, "users", "", "recipients, as `UserIDs` separated by commas")
	f.StringVar(&m.group, "group", "", "`GroupID` whose members are the recipients")
	f.StringVar(&m.tag, "tag", "", "`tag` whose users are the recipients")
	f.StringVar(&m.file, "file", "", "`file` with one recipient a line")
	f.BoolVar(&m.everyone, "everyone", false, "send to everyone")
	f.StringVar(&m.title, "title", "", "`title` of the mail, one line")
	f.StringVar(&m.text, "text", "", "`text` of the mail")
	f.StringVar(&m.attach, "attach", "", "attachments as `item=count`, separated by commas")
	f.StringVar(&m.expires, "expires", "", "time when the mail expires, as `2026-12-31T00:00:00Z`")
	f.StringVar(&m.key, "key", "", "idempotency `key` of this mail; the same key again continues the same mail")
	f.BoolVar(&m.skip, "skip-broken", false, "skip lines of the file that are not UserIDs")
	f.BoolVar(&m.detach, "detach", false, "do not wait until the mail is sent")
	f.BoolVar(&m.watch, "watch", false, "show the progress until the mail is sent")
	rest, err := t.parse(f, args, 1, 2)
	if err != nil {
		return err
	}
	verb := rest[0]
	switch {
	case (verb == "send" || verb == "plan") && len(rest) == 1:
		return sendMail(ctx, t, at, m, verb == "plan")
	case verb == "status" && len(rest) == 2:
		return watchMail(ctx, t, at, rest[1], m.watch)
	case (verb == "pause" || verb == "resume" || verb == "cancel") && len(rest) == 2:
		var v mail.View
		if err := at.call(ctx, http.MethodPost, "/mail/"+url.PathEscape(rest[1])+"/"+verb, nil, &v); err != nil {
			return err
		}
		fmt.Fprintln(t.out, line(v))
		return nil
	}
	return misuse(fmt.Sprintf("%q needs another number of arguments, or is not one of send, plan, status, pause, resume and cancel", verb))
}

// request reads the mail that the flags describe.
func (m mailFlags) request() (in mail.NewMail, err error) {
	in.Title, in.Text = m.title, m.text
	in.To = mail.To{Group: m.group, Tag: m.tag, File: m.file != "", Everyone: m.everyone}
	if m.users != "" {
		in.To.Users = strings.Split(m.users, ",")
	}
	for one := range strings.SplitSeq(m.attach, ",") {
		if one == "" {
			continue
		}
		item, count, _ := strings.Cut(one, "=")
		n, err := strconv.ParseInt(count, 10, 64)
		if err != nil {
			return in, misuse(fmt.Sprintf("-attach %q: write item=count, such as gem=5", one))
		}
		in.Attachments = append(in.Attachments, mail.Item{ItemID: item, Count: n})
	}
	if m.expires != "" {
		at, err := time.Parse(time.RFC3339, m.expires)
		if err != nil {
			return in, misuse(fmt.Sprintf("-expires %q: write a time such as 2026-12-31T00:00:00Z", m.expires))
		}
		in.ExpiresAt = &at
	}
	return in, nil
}

func sendMail(ctx context.Context, t *tool, at *server, m mailFlags, plan bool) error {
	in, err := m.request()
	if err != nil {
		return err
	}
	recipients := 0
	if m.file != "" {
		var broken int
		if recipients, broken, err = checkFile(m.file, t.errs); err != nil {
			return err
		}
		if broken > 0 && !m.skip {
			return fmt.Errorf("%d lines of %s are no UserIDs, and nothing was sent; correct them, or give -skip-broken to leave them out", broken, m.file)
		}
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	if plan {
		path := "/mail?dryRun=1"
		if m.file != "" {
			path += "&recipients=" + strconv.Itoa(recipients)
		}
		var out struct{ Plan mail.Plan }
		if err := at.ask(ctx, http.MethodPost, path, "", "application/json", body, &out); err != nil {
			return err
		}
		printPlan(t.out, out.Plan)
		return nil
	}
	if m.key == "" {
		m.key = "imctl-" + strings.ToLower(rand.Text())
	}
	fmt.Fprintf(t.errs, "key: %s\n", m.key)
	var v mail.View
	if err := at.ask(ctx, http.MethodPost, "/mail", m.key, "application/json", body, &v); err != nil {
		return err
	}
	if m.file != "" {
		if err := upload(ctx, t, at, m, v.MailID); err != nil {
			return err
		}
		if err := at.call(ctx, http.MethodPost, "/mail/"+v.MailID+"/start", nil, &v); err != nil {
			return err
		}
	}
	return watchMail(ctx, t, at, v.MailID, !m.detach)
}

func printPlan(w io.Writer, p mail.Plan) {
	fmt.Fprintf(w, "by %s: %d calls, %v; %d messages, %d writes and %d reads of the store, about %.4f USD\n",
		p.By, p.Calls, time.Duration(p.Seconds*float64(time.Second)).Round(time.Second), p.Cost.Messages, p.Cost.Writes, p.Cost.Reads, p.Cost.USD)
}

// checkFile counts the recipients of a file, and names each malformed line.
func checkFile(file string, errs io.Writer) (recipients, broken int, err error) {
	err = eachLine(file, func(n int, line string) error {
		if usersig.CheckUserID(line) != nil {
			broken++
			fmt.Fprintf(errs, "%s:%d: not a UserID of 1 to 32 visible ASCII characters\n", file, n)
			return nil
		}
		recipients++
		return nil
	})
	return recipients, broken, err
}

// eachLine calls do for each line of a file that is not empty. It reads a line at a
// time: a file may have millions.
func eachLine(file string, do func(n int, line string) error) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if line := strings.TrimSpace(lines.Text()); line != "" {
			if err := do(n, line); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}

// linesPerPart is how many recipients go into one request: whole calls of IM, within a
// megabyte.
const linesPerPart = 20_000

// upload sends a file in parts. Parts that came before are no-ops.
func upload(ctx context.Context, t *tool, at *server, m mailFlags, id string) error {
	var body bytes.Buffer
	lines, part := 0, 0
	flush := func() error {
		if lines == 0 {
			return nil
		}
		part++
		var got mail.Part
		err := at.ask(ctx, http.MethodPut, fmt.Sprintf("/mail/%s/recipients/%d", id, part), "", "text/plain", body.Bytes(), &got)
		body.Reset()
		lines = 0
		fmt.Fprintf(t.errs, "\rpart %d", part)
		return err
	}
	err := eachLine(m.file, func(_ int, line string) error {
		if usersig.CheckUserID(line) != nil {
			return nil // named before
		}
		body.WriteString(line)
		body.WriteByte('\n')
		if lines++; lines == linesPerPart {
			return flush()
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	fmt.Fprintln(t.errs)
	return err
}

// watchEvery is how often a mail that is watched is asked for.
const watchEvery = time.Second

// watchMail shows a mail, until it is sent if watch is set.
func watchMail(ctx context.Context, t *tool, at *server, id string, watch bool) error {
	for {
		var v mail.View
		if err := at.call(ctx, http.MethodGet, "/mail/"+url.PathEscape(id), nil, &v); err != nil {
			return err
		}
		if !watch || v.State != mail.Planned && v.State != mail.Sending {
			if watch {
				fmt.Fprintln(t.errs)
			}
			fmt.Fprintln(t.out, line(v))
			return nil
		}
		fmt.Fprintf(t.errs, "\r%s", line(v))
		if err := retry.Sleep(ctx, watchEvery); err != nil {
			return err
		}
	}
}

// line is a mail in one line, with a bar.
func line(v mail.View) string {
	const width = 20
	done, total := v.Delivered+v.Failed, 0
	if v.Total != nil {
		total = *v.Total
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %-9s ", v.MailID, v.State)
	if total > 0 {
		full := min(width*done/total, width)
		fmt.Fprintf(&b, "[%s%s] %d%% %d of %d", strings.Repeat("#", full), strings.Repeat(".", width-full), 100*done/total, done, total)
	} else {
		fmt.Fprintf(&b, "to everyone by %s", v.Plan.By)
	}
	if v.Failed > 0 {
		fmt.Fprintf(&b, ", %d unknown to IM", v.Failed)
	}
	if v.Problem != "" {
		b.WriteString(", " + v.Problem)
	}
	return b.String()
}
