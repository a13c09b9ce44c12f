package main

import (
	"archive/zip"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"

	integration "github.com/backchannel-im/backchannel/integrations/zendesk"
	"github.com/backchannel-im/backchannel/shared/desk/zendesk"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

const zendeskHelp = `
Sets up Zendesk so that it reports changes of tickets to the bundle: two webhooks, one
for events and one for a trigger, and the trigger. The command prints its plan, and
carries it out with -yes. It may run any number of times: it finds its own webhooks
and trigger by their names and changes nothing else.

  install   creates or changes them, and prints ZENDESK_WEBHOOK_SECRETS for the bundle
  status    lists them; exits with 1 if one is missing or differs
  remove    deletes them
  app       writes the app that shows a ticket's chat beside the ticket, for upload in
            Zendesk's admin center

It reads ZENDESK_URL, and ZENDESK_CLIENT_ID and ZENDESK_CLIENT_SECRET of an OAuth
client that may read and write webhooks and triggers, or ZENDESK_EMAIL and
ZENDESK_API_TOKEN, from the environment or with -env from a file.

  imctl zendesk install -zendesk https://acme.zendesk.com -url https://BUNDLE -yes
  imctl zendesk app -url https://BUNDLE -o chat-app.zip`

func runZendesk(ctx context.Context, t *tool, args []string) error {
	f := t.flags(zendeskHelp)
	account := f.String("zendesk", "", "`URL` of the account; default ZENDESK_URL")
	bundle := f.String("url", "", "`URL` of the bundle, or of ticket-creator deployed on its own")
	file := f.String("env", "", "`file` with settings, lines NAME=VALUE; names that it lacks come from the environment")
	yes := f.Bool("yes", false, "carry out the plan")
	out := f.String("o", "backchannel-chat.zip", "`file` that app writes")
	rest, err := t.parse(f, args, 1, 1)
	if err != nil {
		return err
	}
	env, err := readEnv(*file, t.getenv)
	if err != nil {
		return err
	}
	what := rest[0]
	switch what {
	case "install", "status", "remove", "app":
	default:
		return misuse(fmt.Sprintf("there is no %q: it is install, status, remove or app", what))
	}
	*bundle = strings.TrimRight(*bundle, "/")
	if *bundle != "" || what == "install" || what == "app" { // the others know ours by their names
		if err := secureURL("-url", *bundle); err != nil {
			return err
		}
	}
	if what == "app" {
		return writeApp(t, *bundle, *out)
	}
	at := strings.TrimRight(cmp.Or(*account, env.get("ZENDESK_URL")), "/")
	if err := secureURL("-zendesk", at); err != nil {
		return err
	}
	conf := zendesk.Config{
		URL: at, ClientID: env.get("ZENDESK_CLIENT_ID"), ClientSecret: env.get("ZENDESK_CLIENT_SECRET"),
		Email: env.get("ZENDESK_EMAIL"), APIToken: env.get("ZENDESK_API_TOKEN"),
	}
	if conf.ClientID+conf.ClientSecret+conf.Email+conf.APIToken == "" && strings.HasPrefix(at, "http:") {
		conf.ClientID, conf.ClientSecret = wiring.DevelopmentDeskClient, wiring.DevelopmentDeskSecret // of scripts/dev
	}
	definitions, err := fs.Sub(integration.Definitions, "definitions")
	if err != nil {
		return err
	}
	in, err := zendesk.NewInstaller(conf, definitions, *bundle)
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "zendesk: ") + ": set ZENDESK_CLIENT_ID and ZENDESK_CLIENT_SECRET, or ZENDESK_EMAIL and ZENDESK_API_TOKEN")
	}
	plan, err := in.Plan(ctx, what == "remove")
	if err != nil {
		return err
	}
	return t.carryOut(ctx, in, what, plan, *yes)
}

var marks = map[string]string{zendesk.Keep: "=", zendesk.Create: "+", zendesk.Change: "~", zendesk.Remove: "-"}

// carryOut shows a plan, and does it.
func (t *tool) carryOut(ctx context.Context, in *zendesk.Installer, what string, plan []zendesk.Step, yes bool) error {
	open := 0
	for _, s := range plan {
		line := fmt.Sprintf("%s %-7s %s %q", marks[s.Action], s.Action, s.Kind, s.Name)
		if s.ID != "" {
			line += " (" + s.ID + ")"
		}
		if s.Why != "" {
			line += ": " + s.Why
		}
		fmt.Fprintln(t.out, line)
		if s.Action != zendesk.Keep {
			open++
		}
	}
	switch {
	case what == "status" && open > 0:
		return fmt.Errorf("%d of %d are missing or differ: imctl zendesk install", open, len(plan))
	case what == "status":
		fmt.Fprintln(t.out, "all is installed")
		return nil
	case len(plan) == 0:
		fmt.Fprintln(t.out, "nothing of ours is there")
		return nil
	case open > 0 && !yes:
		fmt.Fprintln(t.out, "\nThis is the plan. Run it again with -yes to carry it out.")
		return nil
	}
	for i := range plan {
		if err := in.Apply(ctx, &plan[i]); err != nil {
			return fmt.Errorf("%s of %s %q: %w", plan[i].Action, plan[i].Kind, plan[i].Name, err)
		}
	}
	if what == "remove" {
		fmt.Fprintln(t.out, "removed")
		return nil
	}
	var secrets []string
	for _, s := range plan {
		if s.Kind == "webhook" {
			secret, err := in.Secret(ctx, s)
			if err != nil {
				return err
			}
			secrets = append(secrets, secret)
		}
	}
	fmt.Fprintf(t.out, "installed; the bundle needs\n\nZENDESK_WEBHOOK_SECRETS=%s\n", strings.Join(secrets, ","))
	return nil
}

// secureURL returns an error unless a URL is https, or http on this machine.
func secureURL(flag, s string) error {
	u, err := url.Parse(s)
	local := false
	if err == nil {
		ip := net.ParseIP(u.Hostname()) // a name such as 127.example.com is somebody else's
		local = u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	}
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !local) {
		return misuse(flag + " is a URL such as https://HOST; http is for loopback alone")
	}
	return nil
}

// writeApp writes the app as Zendesk takes it: a zip file with the bundle's address in
// its manifest.
func writeApp(t *tool, bundle, name string) (err error) {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	app, err := fs.Sub(integration.App, "app")
	if err != nil {
		return err
	}
	z := zip.NewWriter(file)
	err = fs.WalkDir(app, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(app, path)
		if err != nil {
			return err
		}
		if path == "manifest.json" {
			b = []byte(strings.ReplaceAll(string(b), "{{bundle}}", bundle))
		}
		w, err := z.Create(path)
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	fmt.Fprintf(t.out, "%s is written: upload it as a private app in Zendesk's admin center\n", name)
	return nil
}
