package main

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/scripts/internal/deployment"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/config/secrets"
	"github.com/backchannel-im/backchannel/shared/tencentcloud"
)

const deployHelp = `
Makes Tencent SCF what a serverless.yml says, through the cloud's API: functions
with their code, settings and network, asynchronous invocations with dead letters, a
version of each, the alias $DEFAULT that points to it, function URLs that the
internet reaches, and timers.

  plan      what apply would do; changes nothing
  diff      the same, setting by setting; names of variables, never values
  apply     does it. It may be stopped and run again: it goes on where it stopped
  rollback  points $DEFAULT of each function back to the version before
  prune     deletes what plan marks with !: functions that the other form of the
            deployment left behind, and timers and function URLs that an earlier
            file had; nothing that apply did not make, and only when all functions
            of the file are in force

${env:NAME} in the file is read from -env FILE, the environment, or the document that
-secrets names as SECRETS_URL does (file:PATH, tencent-ssm:NAME@VERSION); a variable
without a value is left out. QUEUE_URL and FORWARD_* that are empty are filled in with
the functions of the same file. A new version answers a health check before $DEFAULT
points to it. A program that is larger than the API takes (7.8 MB of zip) is
uploaded to the COS bucket that -cos names. Credentials: TENCENTCLOUD_SECRET_ID,
TENCENTCLOUD_SECRET_KEY, perhaps TENCENTCLOUD_TOKEN; the region is the file's, or
TENCENTCLOUD_REGION.

  imctl deploy tencent plan -file serverless.yml -env prod.env`

// alias is what triggers and invocations use unless they name another: what it
// points to is in force.
const alias = "$DEFAULT"

func deploy(ctx context.Context, t *tool, args []string) error {
	f := t.flags(deployHelp)
	file := f.String("file", deployment.TencentBundle, "the `serverless.yml` to deploy")
	endpoint := f.String("endpoint", "", "`URL` of the cloud's API instead of its own, as of a fake on this machine")
	envFile := f.String("env", "", "`file` with values for ${env:NAME}, lines NAME=VALUE")
	secretsURL := f.String("secrets", "", "secret `document` with values for ${env:NAME}, written as SECRETS_URL is")
	cos := f.String("cos", "", "COS `bucket`, NAME-APPID in the functions' region, that the programs are uploaded to, for zips that the API does not take")
	cosEndpoint := f.String("cos-endpoint", "", "`URL` of the bucket instead of its own, as of a fake on this machine")
	rest, err := t.parse(f, args, 2, 2)
	if err != nil {
		return err
	}
	if rest[0] != "tencent" || !slices.Contains([]string{"plan", "apply", "diff", "rollback", "prune"}, rest[1]) {
		fmt.Fprintf(t.errs, "usage: imctl %s\n", t.usage)
		return errUsage
	}
	in, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	want, err := deployment.ReadSCF(*file, in)
	if err != nil {
		return err
	}
	env, err := readEnv(*envFile, t.getenv)
	if err != nil {
		return err
	}
	for _, at := range []struct{ flag, url string }{{"-endpoint", *endpoint}, {"-cos-endpoint", *cosEndpoint}} {
		if strings.HasPrefix(at.url, "http:") && !isLocal(at.url) {
			return fmt.Errorf("%s %s: use https: settings and programs would travel readable", at.flag, at.url)
		}
	}
	d := &deployer{tool: t, want: want, env: env, file: *file, flags: f, poll: time.Second}
	if *endpoint != "" && isLocal(*endpoint) {
		d.poll = 20 * time.Millisecond
	}
	if d.secret, err = secretDocument(ctx, *secretsURL, t.getenv); err != nil {
		return err
	}
	if err := d.resolve(); err != nil {
		return err
	}
	account := tencentcloud.Account{
		Region: d.want.Region, SecretID: t.getenv("TENCENTCLOUD_SECRET_ID"), SecretKey: t.getenv("TENCENTCLOUD_SECRET_KEY"), Token: t.getenv("TENCENTCLOUD_TOKEN"),
	}
	if account.SecretID == "" || account.SecretKey == "" {
		return errors.New("set TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY in the environment, of a sub-user that may manage SCF; docs/deploy-tencent.md has its policy")
	}
	d.scf, err = tencentcloud.New(account, tencentcloud.Options{Service: "scf", Version: "2018-04-16", Endpoint: *endpoint, Timeout: 2 * time.Minute})
	if err != nil {
		return fmt.Errorf("-endpoint %s: %w", *endpoint, err)
	}
	if *cos != "" {
		if !bucketName.MatchString(*cos) {
			return fmt.Errorf("-cos %s: the name of a bucket with its AppID is expected, such as programs-1250000000", *cos)
		}
		d.cos = &bucket{*cos, account.Region, *cosEndpoint, account.SecretID, account.SecretKey, account.Token, time.Now}
	}
	switch rest[1] {
	case "rollback":
		return d.rollback(ctx)
	case "apply":
		return d.apply(ctx)
	case "prune":
		return d.prune(ctx)
	}
	return d.plan(ctx, rest[1] == "diff")
}

// secretDocument returns a lookup of what a secrets source holds.
func secretDocument(ctx context.Context, url string, getenv func(string) string) (func(string) string, error) {
	if url == "" {
		return func(string) string { return "" }, nil
	}
	set := config.NewReader(func(name string) (string, bool) {
		if name == "SECRETS_URL" {
			return url, true
		}
		v := getenv(name)
		return v, name == "SECRETS_ENDPOINT" && v != ""
	})
	if _, err := secrets.Load(ctx, set); err != nil {
		return nil, fmt.Errorf("-secrets %s: %s", url, strings.TrimPrefix(err.Error(), "SECRETS_URL: "))
	}
	return func(name string) string { return set.Text(config.Setting{Name: name}) }, nil
}

// deployer makes the cloud what a file says.
type deployer struct {
	*tool
	want   deployment.SCF
	env    environment
	secret func(string) string
	file   string
	flags  *flag.FlagSet
	cos    *bucket // nil: programs go with the API's requests
	poll   time.Duration
	scf    *tencentcloud.Service

	asked  map[string][]string // settings that the file gives to a function, with or without a value
	urls   map[string]string   // function URLs, by the folder's name
	extras bool                // a function of the file has triggers that prune deletes
	done   []string            // what apply has done, for the message when it stops
}

// value replaces the references of a text.
func (d *deployer) value(text string) string {
	return deployment.Reference.ReplaceAllStringFunc(text, func(ref string) string {
		name := deployment.Reference.FindStringSubmatch(ref)[1]
		return cmp.Or(d.env.get(name), d.secret(name))
	})
}

// always are the settings without which no function starts.
var always = []string{"SDK_APP_ID", "SECRET", "CALLBACK_TOKEN", "USERSIG_MODE", "STATE_URL"}

// resolve fills in what the file reads from the environment.
func (d *deployer) resolve() error {
	var faults []error
	d.want.Stage = d.value(d.want.Stage)
	d.want.Region = cmp.Or(d.value(d.want.Region), d.getenv("TENCENTCLOUD_REGION"))
	if d.want.Stage == "" {
		faults = append(faults, errors.New("STAGE is not set: name the deployment, such as prod"))
	} else if !regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$`).MatchString(d.want.Stage) {
		faults = append(faults, errors.New("STAGE is 1 to 20 lower-case letters, digits and hyphens"))
	}
	if d.want.Region == "" {
		faults = append(faults, errors.New("REGION is not set: name the region, such as ap-singapore"))
	}
	missing := map[string]bool{}
	d.asked = map[string][]string{}
	for i := range d.want.Functions {
		f := &d.want.Functions[i]
		if f.Name = d.value(f.Name); f.Name == "" {
			f.Name = d.want.App + "-" + d.want.Stage + "-" + f.Key
		}
		f.Role, f.VPC, f.Subnet, f.Dead = d.value(f.Role), d.value(f.VPC), d.value(f.Subnet), d.value(f.Dead)
		d.asked[f.Key] = slices.Collect(maps.Keys(f.Environment))
		env := map[string]string{}
		for name, text := range f.Environment {
			if v := d.value(text); v != "" {
				env[name] = v
			} else if slices.Contains(always, name) && d.value(f.Environment["SECRETS_URL"]) == "" {
				missing[name] = true
			}
		}
		if _, asked := f.Environment["QUEUE_URL"]; asked && env["QUEUE_URL"] == "" {
			if worker := d.worker(); worker != "" {
				env["QUEUE_URL"] = "scf:" + worker
			}
		}
		size := 0
		for name, v := range env {
			size += len(name) + len(v)
		}
		if size > deployment.MaxEnvironment {
			faults = append(faults, fmt.Errorf("the environment of %s has %d bytes with its values; SCF takes %d: put secrets into a document, as SECRETS_URL names it", f.Key, size, deployment.MaxEnvironment))
		}
		f.Environment = env
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		if unread := d.env.unread(name); unread != "" {
			faults = append(faults, errors.New(unread))
			continue
		}
		faults = append(faults, fmt.Errorf("%s is not set: give it in the environment, with -env FILE or with -secrets; serverless.env.example says what it is", name))
	}
	return errors.Join(faults...)
}

// worker is the name of the function that does jobs, "" where none does: jobs are
// asynchronous invocations, which a web function does not hear.
func (d *deployer) worker() string {
	for _, f := range d.want.Functions {
		if (f.Key == "job-worker" || f.Key == "bundle") && !f.Web {
			return cmp.Or(d.value(f.Name), d.want.App+"-"+d.want.Stage+"-"+f.Key)
		}
	}
	return ""
}

// forwards returns the settings of a function that are URLs of others of the file,
// which are filled in when those URLs are known.
func (d *deployer) forwards(raw deployment.SCFFunction) map[string]string {
	list := map[string]string{}
	for _, other := range d.want.Functions {
		name := "FORWARD_" + strings.ToUpper(strings.ReplaceAll(other.Key, "-", "_"))
		if _, has := raw.Environment[name]; !has && slices.Contains(d.asked[raw.Key], name) && len(other.Triggers) > 0 {
			list[name] = other.Key
		}
	}
	return list
}

// function returns a function of the file, the zero value without one.
func (d *deployer) function(key string) deployment.SCFFunction {
	for _, f := range d.want.Functions {
		if f.Key == key {
			return f
		}
	}
	return deployment.SCFFunction{}
}

// ordered are the functions, those that need URLs of others last.
func (d *deployer) ordered() []deployment.SCFFunction {
	var first, last []deployment.SCFFunction
	for _, f := range d.want.Functions {
		if len(d.forwards(f)) > 0 {
			last = append(last, f)
		} else {
			first = append(first, f)
		}
	}
	return append(first, last...)
}

// withForwards is a function with the URLs that are known by now.
func (d *deployer) withForwards(f deployment.SCFFunction) deployment.SCFFunction {
	f.Environment = maps.Clone(f.Environment)
	for name, key := range d.forwards(f) {
		if url := d.urls[key]; url != "" {
			f.Environment[name] = strings.TrimSuffix(url, "/") + "/im"
			if secret := d.function(key).Environment["CALLBACK_PATH_SECRET"]; secret != "" {
				f.Environment[name] += "/" + secret
			}
		}
	}
	return f
}

// errNotBuilt: there is no program to deploy yet. A plan goes on without.
var errNotBuilt = errors.New("not built")

// program returns the zip of a function, and its hash.
func (d *deployer) program(f deployment.SCFFunction) ([]byte, string, error) {
	var b []byte
	var err error
	for _, dir := range []string{filepath.Dir(d.file), "."} {
		if b, err = os.ReadFile(filepath.Join(dir, d.want.Source, f.Key+".zip")); err == nil {
			break
		}
	}
	if err != nil {
		return nil, "", fmt.Errorf("%w: %s has no program at %s/%s.zip: run scripts/build.sh first", errNotBuilt, f.Key, d.want.Source, f.Key)
	}
	if f.Web {
		if b, err = withBootstrap(b); err != nil {
			return nil, "", fmt.Errorf("%s.zip: %w", f.Key, err)
		}
	}
	sum := sha256.Sum256(b)
	return b, hex.EncodeToString(sum[:]), nil
}

// withBootstrap adds what starts a web function: the same program listens on port
// 9000, where SCF asks it.
func withBootstrap(in []byte) ([]byte, error) {
	r, err := zip.NewReader(bytes.NewReader(in), int64(len(in)))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, file := range r.File {
		if err := w.Copy(file); err != nil {
			return nil, err
		}
	}
	h := &zip.FileHeader{Name: "scf_bootstrap", Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
	h.SetMode(0o755)
	entry, err := w.CreateHeader(h)
	if err == nil {
		_, err = io.WriteString(entry, "#!/bin/bash\nHOST=0.0.0.0 PORT=9000 exec ./main\n")
	}
	err = errors.Join(err, w.Close())
	return out.Bytes(), err
}

// mark says which code and settings the version has that the alias points to, which
// version that is, and which one stood before. It is the alias's description.
type mark struct {
	Hash    string
	Version string
	Before  string
}

var markPattern = regexp.MustCompile(`^backchannel ([0-9a-f]{16}) is ([0-9]+) before ([0-9]+|none)$`)

func (m mark) String() string {
	return "backchannel " + m.Hash + " is " + m.Version + " before " + cmp.Or(m.Before, "none")
}

func parseMark(text string) mark {
	p := markPattern.FindStringSubmatch(text)
	if p == nil {
		return mark{}
	}
	if p[3] == "none" {
		p[3] = ""
	}
	return mark{p[1], p[2], p[3]}
}

// hashOf is the identity of code and configuration together.
func hashOf(f deployment.SCFFunction, code string) string {
	f.Triggers = nil // which belong to the function, not to a version
	text, err := json.Marshal(f)
	if err != nil {
		panic("imctl: " + err.Error()) // text and numbers always marshal
	}
	sum := sha256.Sum256(append([]byte(code+"\n"), text...))
	return hex.EncodeToString(sum[:8])
}

// tryAgain are refusals that pass.
func tryAgain(err error) bool {
	is, _ := errors.AsType[*tencentcloud.Error](err)
	return is != nil && (strings.HasPrefix(is.Code, "RequestLimitExceeded") || strings.HasPrefix(is.Code, "InternalError") ||
		strings.HasPrefix(is.Code, "FailedOperation.FunctionStatusError") || strings.HasPrefix(is.Code, "ResourceUnavailable") || is.Code == "ClientError.NetworkError")
}

// call calls the API. Every call of ours may be repeated: it says what is to be, and
// a name that is taken is met by looking first.
func (d *deployer) call(ctx context.Context, action string, parameters map[string]any, answer any) error {
	parameters["Namespace"] = d.want.Namespace
	var err error
	for i := range 6 {
		if err = d.scf.Call(ctx, action, parameters, answer); err == nil || !tryAgain(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d.poll << i):
		}
	}
	return err
}

func isCode(err error, prefixes ...string) bool {
	is, _ := errors.AsType[*tencentcloud.Error](err)
	return is != nil && slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(is.Code, p) })
}

// explain says what a refusal means and what to do.
func explain(action, function string, err error) error {
	next := ""
	switch {
	case isCode(err, "AuthFailure"):
		next = "the credentials were refused: check TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY, and this machine's clock"
	case isCode(err, unauthorized...):
		next = "the credentials may not do scf:" + action + ": add it to the sub-user's policy; docs/deploy-tencent.md has the whole policy"
	case isCode(err, "LimitExceeded", "QuotaExceeded", "ResourceLimit", "ResourcesSoldOut"):
		next = "a quota of the account is used up: delete functions that nobody uses, or ask Tencent Cloud for more"
	case isCode(err, "RequestSizeLimitExceeded", "InvalidParameterValue.ZipFile", "FailedOperation.CodeSize"):
		next = "the program is too large for the API: name a COS bucket with -cos, and apply uploads it there"
	case isCode(err, "InvalidParameterValue.Role", "ResourceNotFound.Role"):
		next = "the role does not exist: create it, or correct role in the file"
	case isCode(err, "ClientError"):
		next = "the API was not reached: check -endpoint, the region and the network"
	}
	if next == "" {
		return fmt.Errorf("%s of %s: %w", action, function, err)
	}
	return fmt.Errorf("%s of %s: %w: %s", action, function, err, next)
}

// current is what stands in the cloud.
type current struct {
	exists                  bool
	Status                  string
	Handler, Runtime        string
	Description, Role, Type string
	MemorySize, Timeout     int
	Environment             struct{ Variables []variable }
	VpcConfig               struct{ VpcId, SubnetId string } //nolint:revive // the API's spelling
	DeadLetterConfig        struct{ Type, Name string }

	aliased string // version that the alias points to, "" without
	apply   bool   // apply has pointed it
	mark    mark   // zero where the alias points elsewhere than apply or rollback left it
	moved   bool   // the alias was pointed elsewhere by somebody else
}

type variable struct{ Key, Value string }

func (c current) env() map[string]string {
	m := map[string]string{}
	for _, v := range c.Environment.Variables {
		m[v.Key] = v.Value
	}
	return m
}

var gone = []string{"ResourceNotFound.Function", "ResourceNotFound.FunctionName"}

// other says that a function cannot become what the file says, since the API keeps its
// type and runtime as they were created; nil where it can.
func other(f deployment.SCFFunction, c current) error {
	is, want := "event", "event"
	if c.Type == "HTTP" {
		is = "web"
	}
	if f.Web {
		want = "web"
	}
	switch {
	case c.Status == "CreateFailed":
		return nil // it is made anew
	case c.Type != "" && is != want:
		return fmt.Errorf("%s is of type %s and the file says %s, which the API cannot change: give the function another name in the file, or delete it in SCF's console; either way IM's console needs its new URL", f.Name, is, want)
	case c.Runtime != "" && c.Runtime != "Go1":
		return fmt.Errorf("%s has the runtime %s and needs Go1, which the API cannot change: give the function another name in the file, or delete it in SCF's console; either way IM's console needs its new URL", f.Name, c.Runtime)
	}
	return nil
}

func (d *deployer) look(ctx context.Context, f deployment.SCFFunction) (current, error) {
	var c current
	err := d.call(ctx, "GetFunction", map[string]any{"FunctionName": f.Name}, &c)
	if isCode(err, gone...) {
		return current{}, nil
	}
	if err != nil {
		return c, explain("GetFunction", f.Name, err)
	}
	c.exists = true
	var a struct{ FunctionVersion, Description string }
	err = d.call(ctx, "GetAlias", map[string]any{"FunctionName": f.Name, "Name": alias}, &a)
	switch {
	case isCode(err, "ResourceNotFound"):
	case err != nil:
		return c, explain("GetAlias", f.Name, err)
	default:
		c.aliased, c.mark = a.FunctionVersion, parseMark(a.Description)
		c.apply = c.mark != mark{}
		if c.mark.Version != c.aliased {
			c.mark, c.moved = mark{}, c.mark.Version != ""
		}
	}
	return c, nil
}

// changes says how the configuration in the cloud differs, without values: they may
// be secret.
func changes(f deployment.SCFFunction, c current) []string {
	var list []string
	differs := func(what string, want, is any) {
		if want != is {
			list = append(list, fmt.Sprintf("%s %v -> %v", what, is, want))
		}
	}
	differs("memory", f.Memory, c.MemorySize)
	differs("timeout", f.Timeout, c.Timeout)
	differs("description", f.Description, c.Description)
	if f.Role != "" { // of one that the file does not have, stays has the note
		differs("role", f.Role, c.Role)
	}
	if f.Dead != "" {
		differs("dead letters", f.DeadType+" "+f.Dead, c.DeadLetterConfig.Type+" "+c.DeadLetterConfig.Name)
	}
	differs("vpc", f.VPC+" "+f.Subnet, c.VpcConfig.VpcId+" "+c.VpcConfig.SubnetId)
	is := c.env()
	for _, name := range slices.Sorted(maps.Keys(f.Environment)) {
		v, has := is[name]
		switch {
		case !has:
			list = append(list, "variable "+name+" is added")
		case v != f.Environment[name]:
			list = append(list, "variable "+name+" is changed")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if _, has := f.Environment[name]; !has {
			list = append(list, "variable "+name+" is DELETED")
		}
	}
	return list
}

// stays names what is in the cloud, not in the file, and left alone.
func stays(f deployment.SCFFunction, c current, triggers []triggerOf) (notes []string) {
	const next = ", which is not in the file: take it away in SCF's console if nothing needs it"
	if f.Role == "" && c.Role != "" {
		notes = append(notes, "the role "+c.Role+" stays"+next)
	}
	if f.Dead == "" && c.DeadLetterConfig.Name != "" {
		notes = append(notes, "dead letters to "+c.DeadLetterConfig.Name+" stay"+next)
	}
	for _, is := range triggers {
		switch {
		case !inFile(f, is) && is.Description == triggerMark:
			notes = append(notes, "the "+is.Type+" trigger "+is.TriggerName+" stays, which is not in the file: prune deletes it")
		case !inFile(f, is):
			notes = append(notes, "the "+is.Type+" trigger "+is.TriggerName+" stays"+next)
		case is.Type == "http" && is.Qualifier != "" && is.Qualifier != alias:
			notes = append(notes, "the function URL calls "+is.Qualifier+" and not "+alias+", which releases and rollbacks move: delete it in SCF's console, apply, and enter the new URL in IM's console")
		}
	}
	return notes
}

type triggerOf struct {
	Type, TriggerName, TriggerDesc, Qualifier, CustomArgument, Description string

	Enable *int // 0: it is off
}

func (d *deployer) triggers(ctx context.Context, f deployment.SCFFunction) ([]triggerOf, error) {
	var list struct{ Triggers []triggerOf }
	err := d.call(ctx, "ListTriggers", map[string]any{"FunctionName": f.Name, "Limit": 100}, &list)
	if isCode(err, gone...) {
		return nil, nil
	}
	if err != nil {
		return nil, explain("ListTriggers", f.Name, err)
	}
	return list.Triggers, nil
}

// urlOf finds the address in a function URL's description.
func urlOf(t triggerOf) string {
	var desc struct {
		NetConfig struct{ ExtranetUrl string } //nolint:revive // the API's spelling
	}
	_ = json.Unmarshal([]byte(t.TriggerDesc), &desc)
	return desc.NetConfig.ExtranetUrl
}

// kindOf is a trigger's type in the API's words.
func kindOf(t deployment.SCFTrigger) string {
	if t.Cron != "" {
		return "timer"
	}
	return "http"
}

func describe(t deployment.SCFTrigger) string {
	if t.Cron != "" {
		return t.Cron
	}
	b, err := json.Marshal(map[string]any{
		"AuthType": "NONE", "NetConfig": map[string]bool{"EnableIntranet": t.Intranet, "EnableExtranet": true},
	})
	if err != nil {
		panic("imctl: " + err.Error())
	}
	return string(b)
}

// sameName reports whether a trigger that stands is the one asked for, perhaps with
// other parameters. A function has one URL.
func sameName(want deployment.SCFTrigger, is triggerOf) bool {
	return is.Type == kindOf(want) && (is.Type == "http" || is.TriggerName == want.Name)
}

// sameTrigger compares what was asked for with what stands.
func sameTrigger(want deployment.SCFTrigger, is triggerOf) bool {
	if is.Enable != nil && *is.Enable == 0 {
		return false
	}
	if want.Cron != "" {
		// A timer is answered as {"cron":"..."} or as the expression itself.
		desc := struct{ Cron string }{is.TriggerDesc}
		_ = json.Unmarshal([]byte(is.TriggerDesc), &desc)
		return desc.Cron == want.Cron && is.CustomArgument == want.Argument && (is.Qualifier == "" || is.Qualifier == alias)
	}
	var desc struct {
		AuthType  string
		NetConfig struct{ EnableIntranet, EnableExtranet bool }
	}
	_ = json.Unmarshal([]byte(is.TriggerDesc), &desc)
	return desc.AuthType == "NONE" && desc.NetConfig.EnableExtranet && desc.NetConfig.EnableIntranet == want.Intranet
}

// code is how the API gets a program, which is in the bucket by then if there is one.
func (d *deployer) code(ctx context.Context, program []byte, hash string) (map[string]any, error) {
	if d.cos == nil {
		return map[string]any{"ZipFile": base64.StdEncoding.EncodeToString(program)}, nil
	}
	if err := d.cos.upload(ctx, program, hash); err != nil {
		return nil, err
	}
	// The API wants the name without the AppID.
	name := d.cos.name[:strings.LastIndexByte(d.cos.name, '-')]
	return map[string]any{"CosBucketName": name, "CosObjectName": d.cos.object(hash), "CosBucketRegion": d.want.Region}, nil
}

var bucketName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?-[0-9]{5,}$`)

// errTooLarge: the API does not take a program, and no bucket was named.
var errTooLarge = errors.New("too large for the API")

// fits reports whether the API gets a program somehow.
func (d *deployer) fits(f deployment.SCFFunction, program []byte) error {
	if d.cos != nil || len(program) <= inline {
		return nil
	}
	return fmt.Errorf("%w: the zip of %s has %.1f MB and a request takes %.1f: create a COS bucket in %s and name it with -cos NAME-APPID; apply uploads the programs there",
		errTooLarge, f.Key, float64(len(program))/1e6, float64(inline)/1e6, d.want.Region)
}

// ready looks at all programs before anything is changed.
func (d *deployer) ready() error {
	var faults []error
	for _, f := range d.want.Functions {
		program, _, err := d.program(f)
		if err == nil {
			err = d.fits(f, program)
		}
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}
