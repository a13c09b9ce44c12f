package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

const doctorHelp = `
Checks a deployment, and names each fault and how to fix it: its settings, the
clocks, the callback URL, the API key, IM's REST API and the features of the app's
edition, store, queue and schedule, the callback of a message that doctor sends,
the callbacks that ever arrived, and the desks. doctor exits with 1 if it finds a
fault.

doctor reads the deployment's settings from the environment, or from a file of lines
NAME=VALUE with -env, and API_KEY, a key whose hash is in API_KEYS. It prints no
secret. Its message goes to the account backchannel_doctor, which it imports; no rule
counts, archives or answers the message.

  imctl doctor
  imctl doctor -url https://HOST -env prod.env -json`

// leastPatience is what IM's callback and a job that find a function cold need.
const leastPatience = 5 * time.Second

// finding is one thing that doctor looked at.
type finding struct {
	Check string `json:"check"`
	OK    bool   `json:"ok"`
	Found string `json:"found"`
	Next  string `json:"next"` // what to do; "" where there is nothing
}

// report is what doctor -json prints.
type report struct {
	OK       bool      `json:"ok"`
	Findings []finding `json:"findings"`
}

// unwell is the error of a doctor that found something wrong, and said so.
type unwell int

func (u unwell) Error() string { return fmt.Sprintf("%d of the findings above need attention", int(u)) }

func runDoctor(ctx context.Context, t *tool, args []string) error {
	f := t.flags(doctorHelp)
	at := f.String("url", "http://127.0.0.1:8080", "`URL` of the bundle; of the split functions, see -callback-url")
	callbackURL := f.String("callback-url", "", "callback `URL`, if another function serves it; default the -url with /im and CALLBACK_PATH_SECRET")
	file := f.String("env", "", "`file` with the deployment's settings, lines NAME=VALUE; names that it lacks come from the environment")
	asJSON := f.Bool("json", false, "print {\"ok\",\"findings\"} instead of text")
	patience := f.Duration("wait", 15*time.Second, "how long the self-sent message and the job may take, 5s or more")
	if _, err := t.parse(f, args, 0, 0); err != nil {
		return err
	}
	if *patience < leastPatience {
		return misuse(fmt.Sprintf("-wait is at least %v: what comes a little later would be called missing", leastPatience))
	}
	env, err := readEnv(*file, t.getenv)
	if err != nil {
		return err
	}
	d := &physician{url: *at, callbackURL: *callbackURL, env: env, patience: *patience, now: time.Now}
	d.examine(ctx)
	r := report{OK: true, Findings: d.findings}
	bad := 0
	for i, is := range r.Findings {
		r.Findings[i].Found, r.Findings[i].Next = env.redact(is.Found), env.redact(is.Next)
		if !is.OK {
			r.OK = false
			bad++
		}
	}
	if *asJSON {
		enc := json.NewEncoder(t.out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			return err
		}
	} else {
		r.print(t)
	}
	if bad > 0 {
		return unwell(bad)
	}
	return nil
}

func (r report) print(t *tool) {
	for _, f := range r.Findings {
		state := "ok   "
		if !f.OK {
			state = "WRONG"
		}
		fmt.Fprintf(t.out, "%s  %-11s %s\n", state, f.Check, f.Found)
		if f.Next != "" {
			fmt.Fprintf(t.out, "                    next: %s\n", f.Next)
		}
	}
}

// environment is the deployment's settings as doctor was given them.
type environment struct {
	file   map[string]string // nil: only the environment
	getenv func(string) string
}

// readEnv reads a file of lines NAME=VALUE; file "" is none.
func readEnv(file string, getenv func(string) string) (environment, error) {
	e := environment{getenv: getenv}
	if file == "" {
		return e, nil
	}
	in, err := os.Open(file)
	if err != nil {
		return e, err
	}
	defer in.Close()
	e.file = map[string]string{}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(lines.Text()), "export "))
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, found := strings.Cut(line, "=")
		if !found || name == "" || strings.ContainsAny(name, " \t\"'") {
			return e, fmt.Errorf("%s: line %d is not NAME=VALUE", file, n)
		}
		if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			value = value[1 : len(value)-1]
		}
		e.file[name] = value
	}
	return e, lines.Err()
}

// get returns a setting, from the file, the environment, or the file that NAME_FILE
// names; "" without one.
func (e environment) get(name string) string {
	for _, look := range []func(string) string{func(n string) string { return e.file[n] }, e.getenv} {
		if v := look(name); v != "" {
			return v
		}
		if path := look(name + "_FILE"); path != "" {
			if b, err := os.ReadFile(path); err == nil {
				return strings.TrimRight(string(b), "\r\n")
			}
		}
	}
	return ""
}

// unread returns a finding if the file that NAME_FILE names cannot be read, otherwise "".
func (e environment) unread(name string) string {
	for _, path := range []string{e.file[name+"_FILE"], e.getenv(name + "_FILE")} {
		if path == "" {
			continue
		}
		if _, err := os.ReadFile(path); err != nil {
			return name + "_FILE names " + path + ", which cannot be read"
		}
	}
	return ""
}

// secretNames are the settings whose values are never printed.
var secretNames = []string{
	"SECRET", "CALLBACK_TOKEN", "CALLBACK_TOKEN_PREVIOUS", "CALLBACK_PATH_SECRET", "API_KEY", "ZENDESK_CLIENT_SECRET",
	"ZENDESK_WEBHOOK_SECRETS", "SALESFORCE_CLIENT_SECRET", "SALESFORCE_KEY", "STATE_URL",
}

// redact keeps secrets out of a text, whoever quoted them.
func (e environment) redact(text string) string {
	for _, name := range secretNames {
		for _, v := range strings.Split(e.get(name), ",") {
			if len(v) >= 6 {
				text = strings.ReplaceAll(text, v, "["+name+"]")
			}
		}
	}
	return text
}

// names lists words as a person would.
func names(words []string) string {
	words = slices.Clone(words)
	slices.Sort(words)
	return strings.Join(words, ", ")
}
