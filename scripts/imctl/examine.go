package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/doctor"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/boltqueue"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/cloud"
	"github.com/backchannel-im/backchannel/shared/wiring/features"
)

const (
	// probeCommand is a callback that IM does not have: an endpoint that believes the
	// sender acknowledges it and does nothing.
	probeCommand = "Backchannel.Doctor"
	// doctorAccount gets the self-sent message.
	doctorAccount = "backchannel_doctor"
	// clockSlack is how far clocks may be apart: the signature of a before-callback
	// holds 60 s either way.
	clockSlack = 20 * time.Second
)

// allEngines are those of every deployment, to read settings with.
var allEngines = wiring.Engines{
	States: append([]kv.Engine{boltkv.Engine}, cloud.Engines.States...),
	Queues: append([]queue.Engine{boltqueue.Engine}, cloud.Engines.Queues...),
}

// physician examines one deployment.
type physician struct {
	url, callbackURL string
	env              environment
	patience         time.Duration
	now              func() time.Time
	findings         []finding

	function string   // that answers at url
	gaps     []string // settings that every deployment has, and the -env file has not
	emulator string   // of scripts/dev, where that is what is examined and it says so
	appID    uint32
	otherApp bool          // the deployment's app is another than the one given
	skew     time.Duration // of the deployment's clock against ours
	client   *im.Client
}

func (d *physician) well(check, format string, args ...any) {
	d.findings = append(d.findings, finding{check, true, fmt.Sprintf(format, args...), ""})
}

func (d *physician) wrong(check, found, next string) {
	d.findings = append(d.findings, finding{check, false, found, next})
}

// get returns a setting. For a deployment on this machine the published development
// values stand in.
func (d *physician) get(name string) string {
	v := d.env.get(name)
	if v != "" || !isLocal(d.url) || d.env.file != nil {
		return v
	}
	return map[string]string{
		"SDK_APP_ID": strconv.Itoa(devAppID), "SECRET": wiring.DevelopmentSecret, "CALLBACK_TOKEN": wiring.DevelopmentToken,
		"API_KEY": wiring.DevelopmentKey, "IM_DOMAIN": cmp.Or(d.emulator, "http://127.0.0.1:8081"),
	}[name]
}

// examine looks at everything that can be looked at. What cannot be, because
// something before it is wrong, is left out, so that a cause is named once.
func (d *physician) examine(ctx context.Context) {
	if isLocal(d.url) && d.env.file == nil {
		d.emulator = d.devEmulator(ctx)
	}
	settings := d.settings()
	if !d.reachable(ctx) {
		for _, line := range d.gaps { // it may be why
			name, _, _ := strings.Cut(line, ":")
			d.wrong("settings", line, "correct "+name+" in the deployment's settings")
		}
		d.rest(ctx, settings)
		return
	}
	if len(d.gaps) > 0 {
		// A deployment without them does not start, and this one answers.
		var lacks []string
		for _, line := range d.gaps {
			name, _, _ := strings.Cut(line, ":")
			lacks = append(lacks, name)
		}
		d.findings = append(d.findings, finding{"settings", true, "the -env file does not have " + names(lacks) + "; the deployment that answers has", "add them before you deploy from this file"})
	}
	door := d.unsigned(ctx) && settings && d.signed(ctx)
	rest := !d.otherApp && d.rest(ctx, settings) // IM's answer would be of another app
	d.inside(ctx, door, rest)
	d.zendesk(ctx)
	d.salesforce(ctx)
}

// devEmulator asks scripts/dev where its emulator of IM is, which listens where its
// flags say; "" where something else answers.
func (d *physician) devEmulator(ctx context.Context) string {
	var scene struct{ Emulator string }
	f := d.fetch(ctx, http.MethodGet, strings.TrimSuffix(d.url, "/")+"/dev/scene", nil, nil)
	if f.err != nil || f.status != http.StatusOK || json.Unmarshal(f.body, &scene) != nil || !isLocal(scene.Emulator) {
		return ""
	}
	return scene.Emulator
}

// settings checks what doctor was given of the deployment's settings, by the
// program's own reader.
func (d *physician) settings() bool {
	ok := true
	for _, name := range []string{"SDK_APP_ID", "SECRET", "CALLBACK_TOKEN", "API_KEY"} {
		if d.get(name) != "" || name == "CALLBACK_TOKEN" && d.get("CALLBACK_ALLOW_UNSIGNED") == "1" {
			continue
		}
		ok = false
		if unread := d.env.unread(name); unread != "" {
			d.wrong("settings", unread, "correct "+name+"_FILE, or the rights of the file")
			continue
		}
		next := "give doctor the deployment's settings, in the environment or with -env FILE"
		if d.env.get("SECRETS_URL") != "" {
			next = "doctor does not open SECRETS_URL: put the value that it holds into the environment"
		}
		if name == "API_KEY" {
			next = "set API_KEY in the environment to a key whose SHA-256 API_KEYS of the deployment has"
		}
		d.wrong("settings", name+" is not set", next)
	}
	lookup := func(name string) (string, bool) {
		if strings.HasSuffix(name, "_FILE") {
			return "", false // get has read it
		}
		v := d.get(name)
		return v, v != ""
	}
	set := config.NewReader(lookup)
	if isLocal(d.url) {
		set = config.NewDevelopmentReader(lookup)
	}
	if err := features.Bundle(allEngines, nil).Check(set); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			name, _, _ := strings.Cut(line, ":")
			always := name == "SDK_APP_ID" || name == "SECRET" || name == "CALLBACK_TOKEN"
			if strings.Contains(line, ": required") && (d.env.file == nil || d.get(name) != "" || always) {
				continue // said above, or only doctor lacks it
			}
			if strings.Contains(line, ": required") {
				d.gaps = append(d.gaps, line)
				continue
			}
			ok = ok && !always
			d.wrong("settings", line, "correct "+name+" in the deployment's settings")
		}
	}
	if id, err := strconv.ParseUint(d.get("SDK_APP_ID"), 10, 32); err == nil {
		d.appID = uint32(id)
	}
	if d.get("USERSIG_MODE") == "open" && !isLocal(d.url) {
		d.wrong("usersig", "USERSIG_MODE is open: anybody gets a UserSig for any user", "set USERSIG_MODE to server or guest; open is for prototypes")
	}
	if len(d.findings) == 0 {
		d.well("settings", "SDK_APP_ID %d, with SECRET, CALLBACK_TOKEN and API_KEY", d.appID)
	}
	return ok
}

// fetched is an answer, or why there is none.
type fetched struct {
	answer
	date time.Time
	err  error
}

func (d *physician) fetch(ctx context.Context, method, target string, header map[string]string, body []byte) fetched {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return fetched{err: err}
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	resp, err := client.Do(r)
	if err != nil {
		return fetched{err: withoutURL(err)}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	date, _ := http.ParseTime(resp.Header.Get("Date"))
	return fetched{answer{status: resp.StatusCode, body: text}, date, err}
}

// reachable asks for the deployment's health, and compares the clocks.
func (d *physician) reachable(ctx context.Context) bool {
	u, err := url.Parse(d.url)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		d.wrong("deployment", fmt.Sprintf("%q is not a URL", d.url), "give -url https://HOST, the bundle's function URL")
		return false
	}
	if path := strings.TrimSuffix(u.Path, "/"); path == "/im" || strings.HasPrefix(path, "/im/") {
		d.wrong("deployment", "the -url is the callback URL, with the path /im", "give the URL without its path: "+u.Scheme+"://"+u.Host)
		return false
	}
	if u.Scheme == "http" && !isLocal(d.url) {
		d.wrong("deployment", "the URL is http: callbacks and keys travel readable", "use the https URL")
	}
	d.url = strings.TrimSuffix(d.url, "/")
	f := d.fetch(ctx, http.MethodGet, d.url+"/healthz", nil, nil)
	if f.err != nil {
		found, next := unreachable(f.err, u.Host)
		d.wrong("deployment", found, next)
		return false
	}
	var health struct{ Status, Function, Version string }
	if f.status != http.StatusOK || json.Unmarshal(f.body, &health) != nil || health.Status != "ok" || health.Function == "" {
		found, next := foreign(f.answer)
		d.wrong("deployment", found, next)
		return false
	}
	d.function = health.Function
	d.well("deployment", "%s answers, version %s", health.Function, cmp.Or(health.Version, "unknown"))
	if f.date.IsZero() {
		return true
	}
	d.skew = f.date.Sub(d.now()).Round(time.Second)
	if d.skew.Abs() <= clockSlack {
		d.well("clock", "the deployment's clock and this machine's agree")
		return true
	}
	found := fmt.Sprintf("the deployment's clock and this machine's are %v apart", d.skew.Abs())
	next := "set both by NTP: signatures of IM's callbacks hold a minute"
	if third := d.imTime(ctx); !third.IsZero() {
		if third.Sub(f.date).Abs() > clockSlack {
			found, next = found+"; the deployment's is wrong", "set the clock of the deployment's machine by NTP: it refuses IM's callbacks for their time"
		} else {
			found, next = found+"; this machine's is wrong", "set this machine's clock by NTP; the deployment's agrees with IM's"
		}
	}
	d.wrong("clock", found, next)
	return true
}

// imTime is what IM's host says the time is.
func (d *physician) imTime(ctx context.Context) time.Time {
	return d.fetch(ctx, http.MethodGet, baseOf(cmp.Or(d.get("IM_DOMAIN"), "console.tim.qq.com")), nil, nil).date
}

func baseOf(domain string) string {
	if strings.Contains(domain, "://") {
		return strings.TrimSuffix(domain, "/") + "/"
	}
	return "https://" + domain + "/"
}

// unreachable says why a host did not answer.
func unreachable(err error, host string) (found, next string) {
	var dns *net.DNSError
	switch text := err.Error(); {
	case errors.As(err, &dns):
		return "there is no host " + host, "check the name in -url: the template's outputs, or imctl deploy tencent plan, print it"
	case strings.Contains(text, "connection refused"):
		return "nothing listens at " + host, refused
	case strings.Contains(text, "certificate") || strings.Contains(text, "tls:"):
		return "TLS with " + host + " fails: " + text, "IM calls only a host whose certificate is valid: renew it, or use the function's own URL"
	case errors.Is(err, context.DeadlineExceeded) || strings.Contains(text, "Timeout"):
		return host + " does not answer within 10 s", "is the function URL open to the internet? On Tencent the trigger needs netConfig.enableExtranet"
	}
	return host + " cannot be reached: " + err.Error(), "check the URL and the network"
}

// foreign says what an answer to GET /healthz is that is not ours.
func foreign(a answer) (found, next string) {
	var said struct {
		Message, ErrorMessage, ErrorCode string
	}
	_ = json.Unmarshal(a.body, &said)
	switch {
	case a.status >= 300 && a.status < 400:
		return fmt.Sprintf("the URL redirects: status %d", a.status), "give the address that it redirects to, here and in IM's console"
	case a.status == http.StatusTooManyRequests || a.status == 432:
		return fmt.Sprintf("the platform throttles the function: status %d", a.status),
			"too many callbacks run at once: ask the cloud for more concurrent executions, or reserve some for this function"
	case a.status == http.StatusForbidden && said.Message != "":
		return "AWS refuses the call before the function runs: 403 " + said.Message,
			"the function URL needs AuthType NONE and a resource policy with lambda:InvokeFunctionUrl and lambda:InvokeFunction for everybody: deploy template.yaml again"
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		return fmt.Sprintf("something before the function refuses the call with status %d", a.status),
			"the function URL must be public, since IM does not sign as the cloud asks: on Tencent authType NONE, on AWS AuthType NONE"
	case a.status == http.StatusBadGateway || a.status == http.StatusServiceUnavailable || a.status == http.StatusInternalServerError || a.status == 430 || a.status == 433:
		return fmt.Sprintf("the function does not start: status %d", a.status),
			"read its log: a function that cannot start names every missing or malformed setting there"
	case a.status == http.StatusNotFound:
		return "there is no /healthz at this URL", "is this a Backchannel deployment, and is the URL without a path?"
	}
	return fmt.Sprintf("another program answers there, with status %d", a.status), "give the URL of the deployment: the template's outputs print it"
}

// callbackTarget is the callback URL, with its path secret.
func (d *physician) callbackTarget() string {
	if d.callbackURL != "" {
		return d.callbackURL
	}
	if secret := d.get("CALLBACK_PATH_SECRET"); secret != "" {
		return d.url + "/im/" + secret
	}
	return d.url + "/im"
}

func (d *physician) callback(ctx context.Context, token string, at time.Time) fetched {
	return d.callbackOf(ctx, d.appID, token, at)
}

func (d *physician) callbackOf(ctx context.Context, app uint32, token string, at time.Time) fetched {
	signer := callback.Signer{SDKAppID: app, Token: token, Now: func() time.Time { return at }}
	body := []byte(`{"CallbackCommand":"` + probeCommand + `"}`)
	r, err := signer.Request(ctx, d.callbackTarget(), probeCommand, body)
	if err != nil {
		return fetched{err: err}
	}
	return d.fetch(ctx, http.MethodPost, r.URL.String(), map[string]string{"Content-Type": "application/json"}, body)
}

// unsigned: the callback URL is there, gets the query, and refuses who does not sign. It
// reports whether the query arrives.
func (d *physician) unsigned(ctx context.Context) bool {
	if d.appID == 0 {
		return true
	}
	f := d.callback(ctx, "", d.now())
	switch {
	case f.err != nil:
		d.wrong("callback", "the callback URL cannot be reached: "+f.err.Error(), "check -url and CALLBACK_PATH_SECRET")
	case f.status == http.StatusOK && d.callbackOf(ctx, d.appID^1, "", d.now()).status == http.StatusOK:
		// A callback of another app is believed by no deployment; one without a query is
		// the console's "verify URL", which every deployment answers.
		d.wrong("query", "the callback URL answers as if no query came with a callback: something in front of the deployment drops query strings, where IM puts the command and its signature", passQuery)
		return false
	case f.status == http.StatusOK:
		d.wrong("unsigned", "the callback URL accepts callbacks without a signature", "unset CALLBACK_ALLOW_UNSIGNED, and set CALLBACK_TOKEN to the token of IM's console: anybody who knows the URL can speak in IM's name")
	case f.status == http.StatusNotFound || f.status == http.StatusMethodNotAllowed:
		d.wrong("callback", "there is no callback URL at this deployment", "for the split functions give callback-router's URL with -callback-url")
	case f.status == http.StatusForbidden:
		d.well("unsigned", "the callback URL refuses callbacks without a signature")
	default:
		d.wrong("callback", fmt.Sprintf("the callback URL answers status %d", f.status), "read the function's log")
	}
	return true
}

// passQuery is what to do where query strings are dropped.
const passQuery = "have the proxy, CDN or gateway pass query strings on (CloudFront: an origin request policy with all of them), or enter the function's own URL in IM's console"

// signed: the deployment believes a callback that is signed with CALLBACK_TOKEN.
func (d *physician) signed(ctx context.Context) bool {
	token := d.get("CALLBACK_TOKEN")
	if token == "" {
		return false
	}
	f := d.callback(ctx, token, d.now())
	if f.err != nil || f.status != http.StatusForbidden {
		if f.err == nil && f.status == http.StatusOK {
			d.well("token", "the callback URL accepts callbacks signed with CALLBACK_TOKEN")
			return true
		}
		if f.err == nil && f.status >= 500 {
			d.wrong("callback", fmt.Sprintf("the callback URL answers a signed callback with status %d", f.status), "read the function's log")
		}
		return false // said above
	}
	// A query without a command needs the path's secret alone.
	if f := d.fetch(ctx, http.MethodPost, d.callbackTarget(), nil, nil); f.status == http.StatusForbidden {
		next := "CALLBACK_PATH_SECRET differs from the deployment's: IM's console needs the URL " + d.url + "/im/SECRET with the deployment's value"
		if d.callbackURL == "" && d.get("CALLBACK_PATH_SECRET") != "" {
			if f := d.fetch(ctx, http.MethodPost, d.url+"/im", nil, nil); f.err == nil && f.status != http.StatusForbidden {
				next = "the deployment has no CALLBACK_PATH_SECRET, so its callback URL is " + d.url + "/im: unset it here, or deploy with it"
			}
		}
		d.wrong("path", "the deployment refuses the path of the callback URL", next)
		return false
	}
	if previous := d.get("CALLBACK_TOKEN_PREVIOUS"); previous != "" {
		if f := d.callback(ctx, previous, d.now()); f.status == http.StatusOK {
			d.wrong("token", "the deployment knows CALLBACK_TOKEN_PREVIOUS, and not CALLBACK_TOKEN", "deploy the new CALLBACK_TOKEN before the console's token is changed")
			return false
		}
	}
	if d.skew.Abs() > clockSlack {
		if f := d.callback(ctx, token, d.now().Add(d.skew)); f.status == http.StatusOK {
			d.wrong("clock", "the deployment refuses callbacks for their time, by its clock", "set the clocks by NTP")
			return false
		}
	}
	if id := d.deployedApp(ctx); id != 0 && id != d.appID {
		d.otherApp = true
		d.wrong("app", fmt.Sprintf("the deployment's SDK_APP_ID is %d, and the one given here %d", id, d.appID), "make SDK_APP_ID, SECRET and CALLBACK_TOKEN those of one app")
		return false
	}
	d.wrong("token", "the deployment does not accept a callback that is signed with CALLBACK_TOKEN", "its CALLBACK_TOKEN (or SDK_APP_ID) is another: make it the authentication token of IM's console")
	return false
}

// deployedApp asks the deployment for its app; 0 where it does not say.
func (d *physician) deployedApp(ctx context.Context) uint32 {
	opened, f := d.open(ctx)
	if f.err != nil || f.status != http.StatusCreated {
		return 0
	}
	return opened.SDKAppID
}

func (d *physician) open(ctx context.Context) (doctor.Opened, fetched) {
	var opened doctor.Opened
	f := d.fetch(ctx, http.MethodPost, d.url+"/doctor/checks", map[string]string{
		"Content-Type": "application/json", "Authorization": "Bearer " + d.get("API_KEY"),
	}, []byte("{}"))
	if f.err == nil && f.status == http.StatusCreated {
		f.err = json.Unmarshal(f.body, &opened)
	}
	return opened, f
}

// rest: IM's REST API takes SDK_APP_ID, SECRET and IM_ADMIN at IM_DOMAIN.
func (d *physician) rest(ctx context.Context, settings bool) bool {
	if !settings {
		return false
	}
	domain := cmp.Or(d.get("IM_DOMAIN"), "console.tim.qq.com")
	admin := cmp.Or(d.get("IM_ADMIN"), "administrator")
	var err error
	d.client, err = im.NewClient(im.Config{Domain: domain, SDKAppID: d.appID, Key: d.get("SECRET"), Admin: admin, Timeout: 4 * time.Second})
	if err != nil {
		d.wrong("rest", err.Error(), "correct IM_DOMAIN, SDK_APP_ID, SECRET or IM_ADMIN")
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	checks, err := d.client.CheckAccounts(ctx, []string{admin})
	if err != nil {
		found, next := restFault(err, domain, admin, d.appID)
		d.wrong("rest", found, next)
		return false
	}
	if len(checks) == 1 && checks[0].Code == 0 && !checks[0].Imported {
		d.wrong("rest", "the admin "+admin+" is not an account of the app", "set IM_ADMIN to the admin that IM's console shows under Application Information")
		return false
	}
	d.well("rest", "IM's REST API at %s takes calls of %s", domain, admin)
	d.edition(ctx)
	return true
}

// restFault says what is wrong by IM's documented codes (1047/34348).
func restFault(err error, domain, admin string, app uint32) (found, next string) {
	is, _ := errors.AsType[*im.Error](err)
	code := im.Code(0)
	if is != nil {
		code = is.Code
	}
	switch code {
	case 70003, 70005, 70009:
		return fmt.Sprintf("IM refuses the UserSig that SECRET signs (code %d)", code), "SECRET is not the key of this app: copy it from IM's console, Application Information"
	case 70013, 70014:
		return fmt.Sprintf("IM refuses the UserSig (code %d)", code), "SDK_APP_ID and SECRET are of different apps"
	case 60026, 70016, 70020:
		return fmt.Sprintf("the app %d does not live at IM_DOMAIN %s (code %d)", app, domain, code), "set IM_DOMAIN to the REST host of the app's data centre: console.tim.qq.com (China), adminapisgp.im.qcloud.com (Singapore), adminapiusa.im.qcloud.com (USA), adminapiger.im.qcloud.com (Frankfurt), adminapikr, adminapijpn, adminapiidn; and check SDK_APP_ID"
	case 60010, 70403:
		return fmt.Sprintf("%s is not an admin of the app (code %d)", admin, code), "set IM_ADMIN to an admin of IM's console"
	case 60020:
		return "the app's plan has expired (code 60020)", "renew it in IM's console"
	case 60021:
		return "IM does not take calls from this address (code 60021)", "add the address to the allow-list of IM's console, or run doctor where the deployment runs"
	case 70001, 70052:
		return fmt.Sprintf("IM calls the UserSig expired or void (code %d)", code), "set this machine's clock by NTP"
	case 0:
		var status im.StatusError
		switch {
		case errors.As(err, &status):
			return "IM_DOMAIN " + domain + " answers, and not as IM does", "set IM_DOMAIN to the REST host of the app's data centre"
		default:
			return "IM_DOMAIN " + domain + " cannot be reached: " + err.Error(), "check IM_DOMAIN, and that this machine may call the internet"
		}
	}
	return "IM refuses the call: " + err.Error(), "look up the code on IM's page of error codes"
}

// edition asks for what needs an edition or a switch, of a group that does not
// exist: IM checks the edition first. That something is off is no fault, since
// rules do without it; it is said.
func (d *physician) edition(ctx context.Context) {
	var off []string
	for name, ask := range map[string]func() error{
		"banning of members (10007: from the Pro edition, and a switch of the console)": func() error {
			_, _, err := d.client.BannedMembers(ctx, "backchannel-doctor", 0)
			return err
		},
		"online members of live rooms (10007: from the Pro edition)": func() error {
			_, _, err := d.client.RoomMembers(ctx, "backchannel-doctor", 0)
			return err
		},
		"communities (11000: a switch of the console)": func() error {
			_, err := d.client.Topics(ctx, "@TGS#_backchannel-doctor", doctorAccount)
			return err
		},
		"all-member push (90045: a switch of the console)": func() error {
			_, err := d.client.Tags(ctx, "administrator")
			return err
		},
	} {
		err := ask()
		for _, code := range []im.Code{im.CodeNotAllowed, 10059, 11000, im.CodePushOff} {
			if errors.Is(err, code) {
				off = append(off, name)
			}
		}
	}
	if len(off) == 0 {
		d.well("edition", "the app has banning, lists of online members, communities and all-member push")
		return
	}
	d.findings = append(d.findings, finding{"edition", true, "the app does not have: " + names(off), "switch them on in IM's console, or choose a larger edition, where you use a feature that needs them"})
}

// inside is what only the deployment itself can tell: store, queue, schedule, and
// the callback of a message that doctor sends to itself.
func (d *physician) inside(ctx context.Context, door, rest bool) {
	if d.get("API_KEY") == "" {
		return
	}
	opened, f := d.open(ctx)
	switch {
	case f.err != nil:
		d.wrong("key", "the deployment did not answer: "+f.err.Error(), "run doctor again")
		return
	case f.status == http.StatusUnauthorized:
		d.wrong("key", "the deployment does not know API_KEY", "API_KEYS of the deployment must have NAME:HASH with the hex SHA-256 of the key: printf %s \"$API_KEY\" | sha256sum")
		return
	case f.status == http.StatusNotFound:
		d.wrong("key", "there is no doctor at this URL", "give the URL of the bundle, or of job-worker")
		return
	case f.status != http.StatusCreated:
		d.wrong("state", fmt.Sprintf("the deployment cannot write to its store: status %d", f.status), "check STATE_URL, and the rights, network and password of the store; the function's log has the error")
		return
	}
	d.well("key", "the deployment knows API_KEY")
	if opened.SDKAppID != 0 && d.appID != 0 && opened.SDKAppID != d.appID {
		if door { // not said yet
			d.wrong("app", fmt.Sprintf("the deployment's SDK_APP_ID is %d, and the one given here %d", opened.SDKAppID, d.appID), "make SDK_APP_ID, SECRET and CALLBACK_TOKEN those of one app")
		}
		return
	}
	// Until then an instance may not look at what it refuses.
	d.pause(ctx, doctor.OpenDelay+200*time.Millisecond)
	sent := door && rest && d.send(ctx, opened.CheckID)
	state, err := d.await(ctx, opened, sent)
	if err != nil {
		d.wrong("state", "the deployment cannot read its store: "+err.Error(), "check STATE_URL, and the rights of the functions")
		return
	}
	d.well("state", "the store keeps and returns what is written")
	d.queue(opened, state)
	if state.Ticked.IsZero() || state.Now.Sub(state.Ticked) > 15*time.Minute {
		found := "the clock has never ticked"
		if !state.Ticked.IsZero() {
			found = "the clock last ticked at " + state.Ticked.Format(time.RFC3339)
		}
		d.wrong("schedule", found, "a schedule must call the function clock, or the bundle, every minute: check the rule on AWS, the timer trigger on Tencent; a plain process ticks by itself")
	} else {
		d.well("schedule", "the clock ticked at %s", state.Ticked.Format(time.RFC3339))
	}
	if sent {
		d.returned(opened, state)
	}
	d.commands(state)
}

func (d *physician) pause(ctx context.Context, span time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(span):
	}
}

// send sends the message of a check.
func (d *physician) send(ctx context.Context, check string) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := d.client.ImportAccount(ctx, im.Account{UserID: doctorAccount, Nick: "imctl doctor"})
	if err == nil {
		seq, random := im.Numbers("doctor/" + check)
		_, err = d.client.SendMsg(ctx, im.C2CMsg{
			To: doctorAccount, MsgSeq: seq, MsgRandom: random, Body: im.Custom("", "imctl doctor", ""), CloudCustomData: doctor.Mark(check),
			AfterCallback: true, NotToSender: true, OnlineOnly: true,
		})
	}
	if err != nil {
		d.wrong("message", "the self-sent message was refused: "+err.Error(), "look up the code on IM's page of error codes")
		return false
	}
	return true
}

// await waits for the job and the message of a check.
func (d *physician) await(ctx context.Context, opened doctor.Opened, sent bool) (doctor.State, error) {
	end := d.now().Add(d.patience)
	for {
		var state doctor.State
		f := d.fetch(ctx, http.MethodGet, d.url+"/doctor/checks/"+opened.CheckID, map[string]string{"Authorization": "Bearer " + d.get("API_KEY")}, nil)
		switch {
		case f.err != nil:
			return state, f.err
		case f.status != http.StatusOK:
			return state, fmt.Errorf("status %d", f.status)
		}
		if err := json.Unmarshal(f.body, &state); err != nil {
			return state, err
		}
		waits := sent && !state.Message && state.MessageRefused == "" || opened.Queue && opened.QueueError == "" && !state.Job
		if !waits || d.now().After(end) {
			return state, nil
		}
		if d.pause(ctx, 200*time.Millisecond); ctx.Err() != nil {
			return state, ctx.Err()
		}
	}
}

func (d *physician) queue(opened doctor.Opened, state doctor.State) {
	switch {
	case !opened.Queue:
		d.wrong("queue", "the deployment has no QUEUE_URL: features that need jobs are off, and IM gets status 500 for a callback whose rule failed", "set QUEUE_URL: an SQS queue on AWS, scf:FUNCTION on Tencent, bolt:FILE for a plain process")
	case opened.QueueError != "":
		d.wrong("queue", "the deployment cannot put a job: "+opened.QueueError, "check QUEUE_URL, and that the function may send to it: sqs:SendMessage on AWS, scf:InvokeFunction on Tencent")
	case !state.Job:
		d.wrong("queue", fmt.Sprintf("a job was put, and nobody carried it out within %v", d.patience), "the queue must call job-worker, or the bundle: check the event source mapping on AWS, the function's name in QUEUE_URL on Tencent, and the worker's log")
	default:
		d.well("queue", "a job was put and carried out")
	}
}

// returned: the self-sent message came back through the callback.
func (d *physician) returned(opened doctor.Opened, state doctor.State) {
	if state.Message {
		d.well("message", "a message that doctor sent to itself came back through the callback")
		return
	}
	switch state.MessageRefused {
	case "":
	case callback.ErrBadSignature.Code:
		d.wrong("message", "IM's callbacks arrive, and their signature does not fit", "the authentication token of IM's console is not CALLBACK_TOKEN: make them equal")
		return
	case callback.ErrNoSignature.Code:
		d.wrong("message", "IM's callbacks arrive without a signature", "switch authentication on in IM's console, with CALLBACK_TOKEN as its token")
		return
	case callback.ErrNoCommand.Code:
		d.wrong("message", "IM's callbacks arrive without their query: something before the deployment, at the URL that IM's console has, drops query strings", passQuery)
		return
	case callback.ErrPathSecret.Code:
		d.wrong("message", "IM's callbacks arrive with another path", "enter the callback URL with its path in IM's console: https://HOST/im/CALLBACK_PATH_SECRET")
		return
	case callback.ErrExpired.Code, callback.ErrFuture.Code:
		d.wrong("message", "IM's callbacks arrive, and are refused for their time", "set the clock of the deployment's machine by NTP")
		return
	default:
		d.wrong("message", "IM's callbacks arrive, and are refused: "+state.MessageRefused, "the function's log says more, with the words callback refused")
		return
	}
	const console = "in IM's console (Chat > Configuration > Webhook Configuration)"
	for _, r := range state.Refusals {
		if r.Reason == callback.ErrOtherApp.Code && !r.Last.Before(opened.Now.Add(-time.Second)) { // clocks of instances differ a little
			d.wrong("message", fmt.Sprintf("a message that doctor sent to itself did not come back within %v, and callbacks of another app arrive", d.patience),
				fmt.Sprintf("enter the callback URL %s of the app %d, and not in that of the other", console, d.appID))
			return
		}
	}
	var latest time.Time
	for _, a := range state.Arrivals {
		if a.Last.After(latest) {
			latest = a.Last
		}
	}
	if state.Now.Sub(latest) < 24*time.Hour {
		d.wrong("message", fmt.Sprintf("a message that doctor sent to itself did not come back within %v, though other callbacks arrived, at %s the last time or within the hour after", d.patience, latest.Format(time.RFC3339)),
			"tick the callback \"After sending a one-to-one message\" (C2C.CallbackAfterSendMsg) in IM's console; if the callback URL was changed there since, correct that")
		return
	}
	d.wrong("message", fmt.Sprintf("a message that doctor sent to itself did not come back within %v: IM does not call this deployment", d.patience),
		"enter the callback URL "+console+", switch authentication on with CALLBACK_TOKEN, and tick the callbacks")
}

// pairs are callbacks of which IM sends one before and one after the same message
// of a client.
var pairs = [][2]string{
	{"Group.CallbackBeforeSendMsg", "Group.CallbackAfterSendMsg"},
	{"C2C.CallbackBeforeSendMsg", "C2C.CallbackAfterSendMsg"},
}

// commands: which callbacks came, and which that a rule wants never did. That a
// command never came may only mean that nothing happened, except where its twin
// came.
func (d *physician) commands(state doctor.State) {
	byClient, wanted := map[string]bool{}, map[string]bool{}
	var came, never []string
	for _, a := range state.Arrivals {
		byClient[a.Command], wanted[a.Command] = !a.ByClient.IsZero(), a.Wanted
		switch {
		case !a.Last.IsZero():
			came = append(came, a.Command)
		case a.Wanted:
			never = append(never, a.Command)
		}
	}
	said := false
	for _, p := range pairs {
		for i, command := range p {
			if twin := p[1-i]; wanted[command] && !byClient[command] && byClient[twin] {
				d.wrong("commands", command+" never arrives, though "+twin+" does", "tick "+command+" in IM's console: a rule wants it")
				said = true
			}
		}
	}
	if said {
		return
	}
	next := ""
	if len(never) > 0 {
		next = "tick those that never arrived in IM's console, unless nothing has happened that they tell of"
	}
	d.findings = append(d.findings, finding{"commands", true, fmt.Sprintf("arrived: %s; never arrived: %s", cmp.Or(names(came), "none"), cmp.Or(names(never), "none")), next})
}
