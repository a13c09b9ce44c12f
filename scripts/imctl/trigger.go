package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/callback/samples"
)

const triggerHelp = `
Sends the sample body of a callback, changed by -set, with IM's query and a valid
signature. Times (MsgTime, EventTime) are the current time unless set.

  imctl trigger Group.CallbackBeforeSendMsg -set MsgBody.0.MsgContent.Text='join my casino'
  imctl trigger Group.CallbackAfterSendMsg -set GroupId=lobby -set MsgSeq={n} -n 100

A value that is valid JSON is sent as JSON, any other as text; {n} in it becomes 1, 2,
3... Without {n} the same callback is sent -n times, like IM's own retries. "imctl
trigger list" prints every command with a sample.`

// settings collects -set flags in their order.
type settings []string

func (s *settings) String() string { return strings.Join(*s, " ") }

func (s *settings) Set(text string) error {
	if path, _, found := strings.Cut(text, "="); !found || path == "" {
		return errors.New("write it as path=value")
	}
	*s = append(*s, text)
	return nil
}

func trigger(ctx context.Context, t *tool, args []string) error {
	f := t.flags(triggerHelp)
	to := t.endpointFlags(f)
	var sets settings
	f.Var(&sets, "set", "`path=value` to change in the body; may be repeated")
	n := f.Int("n", 1, "how many to send")
	file := f.String("body", "", "JSON `file` to send instead of the sample")
	show := f.Bool("print", false, "print the body instead of sending it")
	rest, err := t.parse(f, args, 1, 1)
	if err != nil {
		return err
	}
	if rest[0] == "list" {
		for _, name := range samples.Commands() {
			fmt.Fprintln(t.out, name)
		}
		return nil
	}
	if *n < 1 {
		return misuse(fmt.Sprintf("-n %d: send at least one callback", *n))
	}
	template, err := bodyOf(rest[0], *file)
	if err != nil {
		return err
	}
	signer, err := to.signer()
	if err != nil {
		return err
	}
	failed := 0
	now := time.Now()
	for i := 1; i <= *n; i++ {
		body, err := fill(template, sets, i, now)
		if err != nil {
			return err
		}
		if *show {
			fmt.Fprintf(t.out, "%s\n", body)
			continue
		}
		r, err := signer.Request(ctx, to.url, rest[0], body)
		if err != nil {
			return err
		}
		a, err := send(r)
		if err != nil {
			return err
		}
		if a.verdict() != "ok" || i == *n || i == 1 {
			fmt.Fprintf(t.out, "%d  %s  %.1f ms  %s\n", i, a.verdict(), float64(a.latency.Microseconds())/1000, strings.TrimSpace(string(a.body)))
		}
		if a.status != 200 {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d were not accepted", failed, *n)
	}
	return nil
}

func bodyOf(command, file string) ([]byte, error) {
	if file != "" {
		return os.ReadFile(file)
	}
	body, known := samples.Body(command)
	if !known {
		hint := ""
		for _, name := range samples.Commands() {
			if strings.Contains(strings.ToLower(name), strings.ToLower(command)) {
				hint += " " + name
			}
		}
		if hint != "" {
			return nil, fmt.Errorf("no sample of %q; perhaps%s", command, hint)
		}
		return nil, fmt.Errorf("no sample of %q; see imctl trigger list, or give -body FILE", command)
	}
	return body, nil
}

// fill makes the i-th body from a template.
func fill(template []byte, sets []string, i int, now time.Time) ([]byte, error) {
	var body any
	if err := json.Unmarshal(template, &body); err != nil {
		return nil, fmt.Errorf("the body is not JSON: %w", err)
	}
	top, is := body.(map[string]any)
	if !is {
		return nil, errors.New("the body is not a JSON object")
	}
	for name, value := range map[string]any{"MsgTime": now.Unix(), "EventTime": now.UnixMilli()} {
		if _, has := top[name]; has {
			top[name] = value
		}
	}
	for _, set := range sets {
		path, text, _ := strings.Cut(set, "=")
		text = strings.ReplaceAll(text, "{n}", strconv.Itoa(i))
		var value any
		if json.Unmarshal([]byte(text), &value) != nil {
			value = text
		}
		changed, err := put(body, strings.Split(path, "."), value)
		if err != nil {
			return nil, fmt.Errorf("-set %s: %w", path, err)
		}
		body = changed
	}
	return json.Marshal(body)
}

// put returns a JSON value with another in it. What is missing on the way is
// made; a list may grow by one.
func put(in any, path []string, value any) (any, error) {
	if len(path) == 0 {
		return value, nil
	}
	switch v := in.(type) {
	case nil:
		return put(map[string]any{}, path, value)
	case map[string]any:
		inner, err := put(v[path[0]], path[1:], value)
		v[path[0]] = inner
		return v, err
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil || i < 0 || i > len(v) {
			return in, fmt.Errorf("%q is not the place of an item, 0 to %d", path[0], len(v))
		}
		if i == len(v) {
			v = slices.Concat(v, []any{nil})
		}
		v[i], err = put(v[i], path[1:], value)
		return v, err
	}
	return in, fmt.Errorf("there is nothing below %v", in)
}
