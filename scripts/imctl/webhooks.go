package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/backchannel-im/backchannel/scripts/internal/callbacks"
	"github.com/backchannel-im/backchannel/scripts/internal/deployment"
	"github.com/backchannel-im/backchannel/shared/doctor"
)

const webhooksHelp = `
Prints a checklist for IM's console, Chat > Configuration > Webhook Configuration:
the callback URL, the token, the switches, and each callback for which the
deployment has a rule. The deployment itself reports these; the command authenticates
with API_KEY. For split functions, -url is job-worker's and -callback-url is
callback-router's with /im. With -all the checklist has the callbacks of every
feature, and the deployment is not called.

  API_KEY=... imctl webhooks -url https://HOST`

func webhooks(ctx context.Context, t *tool, args []string) error {
	f := t.flags(webhooksHelp)
	at := t.serverFlags(f)
	callbackURL := f.String("callback-url", "", "callback `URL`, if another function serves it; default the -url with /im")
	all := f.Bool("all", false, "list the callbacks of every feature")
	if _, err := t.parse(f, args, 0, 0); err != nil {
		return err
	}
	at.url = strings.TrimSuffix(at.url, "/")
	if !*all && *callbackURL == "" && at.function(ctx) == "job-worker" {
		return misuse("at this URL is job-worker, which IM does not call: give callback-router's URL with /im as -callback-url")
	}
	wanted, err := wantedCommands(ctx, at, *all)
	if err != nil {
		return err
	}
	then := "imctl doctor -url " + at.url
	if *callbackURL != "" {
		then += " -callback-url " + *callbackURL
	}
	url := cmp.Or(*callbackURL, at.url+"/im")
	if t.getenv("CALLBACK_PATH_SECRET") != "" && strings.HasSuffix(url, "/im") {
		url += "/ and the value of CALLBACK_PATH_SECRET"
	}
	fmt.Fprintf(t.out, "IM's console, Chat > Configuration > Webhook Configuration\n\n")
	fmt.Fprintf(t.out, "[ ] callback URL           %s\n", url)
	fmt.Fprintf(t.out, "[ ] authentication         on, and as token the value of CALLBACK_TOKEN\n")
	fmt.Fprintf(t.out, "[ ] retry                  on: Retry upon callback failure or response timeout\n")
	fmt.Fprintf(t.out, "\nCallbacks to tick: %d\n\n", len(wanted))
	for _, command := range wanted {
		title := callbacks.Title(command)
		if title == "" {
			title = "(see the console)"
		}
		fmt.Fprintf(t.out, "[ ] %-60s %s\n", title, command)
	}
	fmt.Fprintf(t.out, "\nThen: %s\n", then)
	return nil
}

// function is the name of the function that answers, "" where none does.
func (s *server) function(ctx context.Context) string {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/healthz", nil)
	if err != nil {
		return ""
	}
	a, err := send(r)
	var health struct{ Function string }
	if err != nil || json.Unmarshal(a.body, &health) != nil {
		return ""
	}
	return health.Function
}

// wantedCommands are the callbacks that rules want.
func wantedCommands(ctx context.Context, at *server, all bool) ([]string, error) {
	var list []string
	if all {
		wanted, err := callbacks.All(ctx, deployment.Sample("bolt:unused"))
		if err != nil {
			return nil, err
		}
		for _, w := range wanted {
			list = append(list, w.Rules.Commands()...)
		}
		slices.Sort(list)
		return slices.Compact(list), nil
	}
	var opened doctor.Opened
	if err := at.call(ctx, http.MethodPost, "/doctor/checks", struct{}{}, &opened); err != nil {
		return nil, err
	}
	var state doctor.State
	if err := at.call(ctx, http.MethodGet, "/doctor/checks/"+opened.CheckID, nil, &state); err != nil {
		return nil, err
	}
	for _, a := range state.Arrivals {
		if a.Wanted {
			list = append(list, a.Command)
		}
	}
	slices.Sort(list)
	return list, nil
}
