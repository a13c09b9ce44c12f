package main

import (
	"archive/zip"
	"encoding/base64"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
	scf "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/scf/v20180416"
)

// site is a folder with the file to deploy and programs, and a cloud.
type site struct {
	*testing.T
	dir  string
	scf  *fakeSCF
	url  string
	env  map[string]string
	file string
}

func newSite(t *testing.T, file string) *site {
	t.Helper()
	s := &site{T: t, dir: t.TempDir(), file: file}
	s.scf, s.url = newFakeSCF(t)
	text, err := os.ReadFile(filepath.Join("..", "..", file))
	if err != nil {
		t.Fatal(err)
	}
	s.write(string(text))
	mains, err := filepath.Glob("../../functions/*/main.go")
	if err != nil || len(mains) == 0 {
		t.Fatal(err)
	}
	for _, m := range mains {
		s.program(filepath.Base(filepath.Dir(m)), "a program")
	}
	s.env = map[string]string{
		"TENCENTCLOUD_SECRET_ID": cloudID, "TENCENTCLOUD_SECRET_KEY": cloudKey, "STAGE": "prod", "REGION": "ap-singapore",
		"SDK_APP_ID": "1400000001", "SECRET": "a-secret-of-this-deployment-0123456789", "CALLBACK_TOKEN": "a-token-of-this-test",
		"USERSIG_MODE": "server", "STATE_URL": "redis://:a-password-of-this-test@10.0.0.5:6379/0",
	}
	return s
}

func (s *site) write(text string) {
	s.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, s.file), []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
}

func (s *site) edit(old, with string) {
	s.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, s.file))
	if err != nil || !strings.Contains(string(b), old) {
		s.Fatalf("%v: %q is not in the file", err, old)
	}
	s.write(strings.Replace(string(b), old, with, 1))
}

// program puts a zip where scripts/build.sh puts it.
func (s *site) program(name, text string) {
	s.Helper()
	dir := filepath.Join(s.dir, "build", "tencent")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.Fatal(err)
	}
	out, err := os.Create(filepath.Join(dir, name+".zip"))
	if err != nil {
		s.Fatal(err)
	}
	defer out.Close()
	z := zip.NewWriter(out)
	h := &zip.FileHeader{Name: "main"}
	h.SetMode(0o755)
	w, err := z.CreateHeader(h)
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err != nil || z.Close() != nil {
		s.Fatal(err)
	}
}

// do runs imctl deploy; no output may hold a secret.
func (s *site) do(verb string, args ...string) result {
	s.Helper()
	args = append([]string{"deploy", "tencent", verb, "-file", filepath.Join(s.dir, s.file), "-endpoint", s.url}, args...)
	r := imctlWith(s.T, s.env, args...)
	for _, name := range []string{"TENCENTCLOUD_SECRET_KEY", "SECRET", "CALLBACK_TOKEN", "STATE_URL"} {
		if v := s.env[name]; v != "" && strings.Contains(r.out+r.errs, v) {
			s.Errorf("%s is printed", name)
		}
	}
	return r
}

func TestDeployBundle(t *testing.T) {
	s := newSite(t, "serverless.yml")
	s.do("plan").want(t, 0, "+ backchannel-prod-bundle", "create: 128 MB, 60 s", "create http trigger url", "create timer trigger every-minute")
	s.do("diff").want(t, 0, "variable SECRET is added")
	if len(s.scf.functions) != 0 || s.scf.changed != 0 {
		t.Fatal("a plan changed something")
	}
	s.do("apply").want(t, 0, "version 1 is in force", "callback URL for IM's console: https://1250000000-backchannel-prod-bundle.ap-singapore.tencentscf.com/im")
	is := s.scf.functions["backchannel-prod-bundle"]
	env := s.scf.env("backchannel-prod-bundle")
	if is == nil || is.alias != "1" || len(is.triggers) != 2 || env["SECRET"] != s.env["SECRET"] || env["QUEUE_URL"] != "scf:backchannel-prod-bundle" {
		t.Fatalf("%+v %v", is, env)
	}
	if _, given := env["LLM_MODEL"]; given || len(env) > 10 {
		t.Errorf("variables without a value were given: %v", env)
	}

	// Again there is nothing to do.
	before := s.scf.changed
	s.do("plan").want(t, 0, "nothing to do", "0 steps")
	s.do("apply").want(t, 0)
	if s.scf.changed != before {
		t.Error("a second apply changed something")
	}

	// A new program, a setting more and one less.
	s.program("bundle", "another program")
	s.env["LLM_MODEL"] = "m"
	s.edit("          ALLOWED_ORIGINS: ${env:ALLOWED_ORIGINS}\n", "")
	is.config["Environment"].(map[string]any)["Variables"] = append(is.config["Environment"].(map[string]any)["Variables"].([]any), map[string]any{"Key": "BY_HAND", "Value": "x"})
	s.do("diff").want(t, 0, "update the code", "variable LLM_MODEL is added", "variable BY_HAND is DELETED")
	s.do("apply").want(t, 0, "version 2 is in force")
	env = s.scf.env("backchannel-prod-bundle")
	if _, has := env["BY_HAND"]; has || env["LLM_MODEL"] != "m" || len(is.triggers) != 2 {
		t.Errorf("%v", env)
	}

	// Back, once; the URL that IM's console has stays.
	s.do("rollback").want(t, 0, "version 1 is in force, instead of 2")
	if is.alias != "1" {
		t.Error("not rolled back")
	}
	s.do("rollback").want(t, 1, "since a rollback", "nothing to go back to")
	s.do("plan").want(t, 0, "update the code")
	s.do("apply").want(t, 0, "version 3 is in force")

	// Somebody changed a setting by hand: it is named and put right.
	is.config["Timeout"] = 3.0
	s.do("plan").want(t, 0, "timeout 3 -> 60")
	s.do("apply").want(t, 0, "version 4 is in force")
}

// TestDeploySplit: the router is last, with the URLs of the others.
func TestDeploySplit(t *testing.T) {
	s := newSite(t, "serverless.split.yml")
	s.do("plan").want(t, 0, "variable FORWARD_BEFORE_SEND_FILTER will be the function URL of before-send-filter")
	s.do("apply").want(t, 0, "backchannel-prod-callback-router: version 1 is in force")
	if want := len(shapesOfSplit(t)); len(s.scf.functions) != want {
		t.Fatalf("%d functions, want %d: %v", len(s.scf.functions), want, s.scf.names())
	}
	env := s.scf.env("backchannel-prod-callback-router")
	if env["FORWARD_BEFORE_SEND_FILTER"] != "https://1250000000-backchannel-prod-before-send-filter.ap-singapore.tencentscf.com/im" || env["QUEUE_URL"] != "scf:backchannel-prod-job-worker" {
		t.Errorf("%v", env)
	}
	before := s.scf.changed
	s.do("apply").want(t, 0)
	s.do("plan").want(t, 0, "0 steps")
	if s.scf.changed != before {
		t.Error("a second apply changed something")
	}
}

func shapesOfSplit(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("../../serverless.split.yml")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.SplitSeq(string(b), "\n") {
		if strings.HasPrefix(line, "      src: ./") {
			names = append(names, line)
		}
	}
	return names
}

// TestDeployIsResumable stops the API after every change that a deployment makes, one
// after the other. The message says what stands, and a second apply ends where an
// undisturbed one does.
func TestDeployIsResumable(t *testing.T) {
	whole := newSite(t, "serverless.yml")
	whole.do("apply").want(t, 0)
	steps := whole.scf.changed
	if steps < 5 {
		t.Fatalf("only %d changes", steps)
	}
	for stop := 1; stop < steps; stop++ {
		s := newSite(t, "serverless.yml")
		s.scf.stop = stop
		s.do("apply").want(t, 1, "what stands:", "not finished: backchannel-prod-bundle", "run apply again")
		s.scf.stop = 0
		s.do("apply").want(t, 0)
		is, want := s.scf.functions["backchannel-prod-bundle"], whole.scf.functions["backchannel-prod-bundle"]
		if is.alias != is.versions[len(is.versions)-1] || len(is.triggers) != len(want.triggers) || !slices.Equal(is.code, want.code) ||
			!maps.Equal(s.scf.env("backchannel-prod-bundle"), whole.scf.env("backchannel-prod-bundle")) {
			t.Errorf("stopped after %d: %+v", stop, is)
		}
		s.do("plan").want(t, 0, "0 steps")
	}
}

func TestDeployFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		do   func(*site)
		says []string
	}{
		"unknown key":           {func(s *site) { s.edit("memorySize: 128", "memorysize: 128") }, []string{"inputs.memorysize is no key that is known here"}},
		"no stage":              {func(s *site) { delete(s.env, "STAGE") }, []string{"STAGE is not set"}},
		"no region":             {func(s *site) { delete(s.env, "REGION") }, []string{"REGION is not set"}},
		"no secret":             {func(s *site) { delete(s.env, "SECRET"); delete(s.env, "STATE_URL") }, []string{"SECRET is not set", "STATE_URL is not set", "-env FILE"}},
		"no credentials":        {func(s *site) { delete(s.env, "TENCENTCLOUD_SECRET_KEY") }, []string{"TENCENTCLOUD_SECRET_KEY"}},
		"credentials refused":   {func(s *site) { s.env["TENCENTCLOUD_SECRET_KEY"] = "wrong-key-wrong-key-wrong-key" }, []string{"AuthFailure", "credentials were refused", "nothing was changed"}},
		"not allowed":           {func(s *site) { s.scf.fail["CreateFunction"] = "UnauthorizedOperation.CAM" }, []string{"scf:CreateFunction", "policy", "nothing was changed"}},
		"quota":                 {func(s *site) { s.scf.fail["CreateFunction"] = "LimitExceeded.Function" }, []string{"quota", "not finished: backchannel-prod-bundle"}},
		"too large for the API": {func(s *site) { s.scf.fail["CreateFunction"] = "RequestSizeLimitExceeded" }, []string{"-cos", "nothing was changed"}},
		"too large":             {func(s *site) { s.program("bundle", noise(inline)) }, []string{"the zip of bundle has 7.8 MB", "-cos NAME-APPID", "nothing was changed"}},
		"half applied":          {func(s *site) { s.scf.fail["CreateTrigger"] = "LimitExceeded.Trigger" }, []string{"done: created backchannel-prod-bundle; backchannel-prod-bundle: version 1 is in force", "quota"}},
		"it does not start":     {func(s *site) { s.scf.unhealthy = true }, []string{"does not start", "still points to the version before", "log"}},
		"no program":            {func(s *site) { _ = os.Remove(filepath.Join(s.dir, "build/tencent/bundle.zip")) }, []string{"run scripts/build.sh first"}},
		"environment too large": {func(s *site) { s.edit("${env:SECRET}", strings.Repeat("x", 5000)) }, []string{"SCF takes 4096"}},
		"nothing listens":       {func(s *site) { s.url = "http://127.0.0.1:1" }, []string{"API was not reached"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "serverless.yml")
			tt.do(s)
			s.do("apply").want(t, 1, tt.says...)
		})
	}
	s := newSite(t, "serverless.yml")
	if err := os.RemoveAll(filepath.Join(s.dir, "build")); err != nil {
		t.Fatal(err)
	}
	s.do("plan").want(t, 0, "not built yet", "create: 128 MB")
	s.program("bundle", noise(inline))
	s.do("plan").want(t, 1, "create: 128 MB", "-cos NAME-APPID")
	s.do("plan", "-cos", "programs").want(t, 1, "with its AppID")
	for _, flag := range []string{"-endpoint", "-cos-endpoint"} {
		s.do("plan", "-cos", "programs-"+bucketAppID, flag, "http://scf.invalid").want(t, 1, flag+" http://scf.invalid", "https")
	}
	s.do("plan", "-secrets", "prod").want(t, 1, "-secrets prod: must be file:PATH")
	s.write("")
	s.do("plan").want(t, 1, "the file is empty")
	imctlWith(t, s.env, "deploy", "aws", "plan").want(t, 2, "usage: imctl deploy tencent")
	imctlWith(t, s.env, "deploy", "tencent", "destroy").want(t, 2, "usage: imctl deploy tencent")
}

// noise is a text of n bytes that does not compress.
func noise(n int) string {
	text := make([]byte, n)
	_, _ = mathrand.NewChaCha8([32]byte{}).Read(text)
	return string(text)
}

// TestDeployThroughABucket: what the API does not take is uploaded, signed, and named
// to the API without the AppID.
func TestDeployThroughABucket(t *testing.T) {
	s := newSite(t, "serverless.yml")
	at := httptest.NewServer(http.HandlerFunc(s.scf.cos))
	t.Cleanup(at.Close)
	s.program("bundle", noise(inline))
	bucket := []string{"-cos", "programs-" + bucketAppID, "-cos-endpoint", at.URL}
	s.do("plan", bucket...).want(t, 0, "create: 128 MB")
	if len(s.scf.objects) > 0 {
		t.Error("a plan uploads")
	}
	s.do("apply", bucket...).want(t, 0, "version 1 is in force")
	is := s.scf.functions["backchannel-prod-bundle"]
	if len(s.scf.objects) != 1 || len(is.code) < inline {
		t.Errorf("%d objects, %d bytes of code", len(s.scf.objects), len(is.code))
	}
	s.program("bundle", "another program")
	s.do("apply", bucket...).want(t, 0, "version 2 is in force")
	if len(s.scf.objects) != 2 || len(is.code) > inline {
		t.Errorf("%d objects, %d bytes of code", len(s.scf.objects), len(is.code))
	}
	s.program("bundle", "a third one")
	for code, says := range map[string]string{"AccessDenied": "cos:PutObject", "NoSuchBucket": "no such bucket in ap-singapore"} {
		s.scf.fail["PutObject"] = code
		s.do("apply", bucket...).want(t, 1, says, "what stands: nothing was changed")
	}
	at.Close()
	s.do("apply", bucket...).want(t, 1, "COS was not reached")
}

// TestBucketSignature: the signatures are those that Tencent's cos-nodejs-sdk-v5 3.0.0
// makes of the same requests, without and with a temporary credential.
func TestBucketSignature(t *testing.T) {
	for token, want := range map[string]string{
		"":           "q-header-list=content-type;host&q-url-param-list=&q-signature=f15622070aaccd45e86f78989417c36b472c6fdb",
		"a token+/=": "q-header-list=content-type;host;x-cos-security-token&q-url-param-list=&q-signature=d5fa2f514a834590a07a2e70731e5cb9cb79b847",
	} {
		b := bucket{"programs-" + bucketAppID, "ap-singapore", "", cloudID, cloudKey, token, func() time.Time { return time.Unix(1796000000, 0) }}
		r := httptest.NewRequest(http.MethodPut, "https://programs-1250000000.cos.ap-singapore.myqcloud.com/backchannel/abc.zip", nil)
		r.Header.Set("Content-Type", "application/zip")
		if token != "" {
			r.Header.Set("X-Cos-Security-Token", token)
		}
		want = "q-sign-algorithm=sha1&q-ak=" + cloudID + "&q-sign-time=1795999940;1796003600&q-key-time=1795999940;1796003600&" + want
		if got := b.authorization(r); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

// TestFakeServesTencentsClient: a function is made, changed, published, aliased,
// triggered and invoked by the client of Tencent's SDK, which knows nothing of us, and
// imctl goes on from there.
func TestFakeServesTencentsClient(t *testing.T) {
	s := newSite(t, "serverless.yml")
	use := profile.NewClientProfile()
	use.HttpProfile.Scheme, use.HttpProfile.Endpoint = "HTTP", strings.TrimPrefix(s.url, "http://")
	client, err := scf.NewClient(common.NewCredential(cloudID, cloudKey), "ap-singapore", use)
	if err != nil {
		t.Fatal(err)
	}
	name, text := common.StringPtr("backchannel-prod-bundle"), common.StringPtr
	zipped, err := os.ReadFile(filepath.Join(s.dir, "build", "tencent", "bundle.zip"))
	if err != nil {
		t.Fatal(err)
	}
	code := text(base64.StdEncoding.EncodeToString(zipped))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	settled := func() {
		t.Helper()
		for range 5 {
			get := scf.NewGetFunctionRequest()
			get.FunctionName = name
			out, err := client.GetFunction(get)
			must(err)
			if *out.Response.Status == "Active" {
				return
			}
		}
		t.Fatal("never active")
	}
	create := scf.NewCreateFunctionRequest()
	create.FunctionName, create.Handler, create.Runtime, create.Code = name, text("main"), text("Go1"), &scf.Code{ZipFile: code}
	create.MemorySize, create.Environment = common.Int64Ptr(64), &scf.Environment{Variables: []*scf.Variable{{Key: text("BY_HAND"), Value: text("x")}}}
	_, err = client.CreateFunction(create)
	must(err)
	settled()
	update := scf.NewUpdateFunctionCodeRequest()
	update.FunctionName, update.ZipFile = name, code
	_, err = client.UpdateFunctionCode(update)
	must(err)
	settled()
	configure := scf.NewUpdateFunctionConfigurationRequest()
	configure.FunctionName, configure.Timeout = name, common.Int64Ptr(5)
	_, err = client.UpdateFunctionConfiguration(configure)
	must(err)
	settled()
	publish := scf.NewPublishVersionRequest()
	publish.FunctionName = name
	version, err := client.PublishVersion(publish)
	must(err)
	point := scf.NewUpdateAliasRequest()
	point.FunctionName, point.Name, point.FunctionVersion = name, text("$DEFAULT"), version.Response.FunctionVersion
	_, err = client.UpdateAlias(point)
	must(err)
	trigger := scf.NewCreateTriggerRequest()
	trigger.FunctionName, trigger.TriggerName, trigger.Type, trigger.Qualifier, trigger.Enable = name, text("url"), text("http"), text("$DEFAULT"), text("OPEN")
	trigger.TriggerDesc = text(`{"AuthType":"NONE","NetConfig":{"EnableIntranet":false,"EnableExtranet":true}}`)
	_, err = client.CreateTrigger(trigger)
	must(err)
	list := scf.NewListTriggersRequest()
	list.FunctionName = name
	triggers, err := client.ListTriggers(list)
	must(err)
	if n := len(triggers.Response.Triggers); n != 1 || !strings.Contains(*triggers.Response.Triggers[0].TriggerDesc, "ExtranetUrl") {
		t.Errorf("%d triggers", n)
	}
	invoke := scf.NewInvokeRequest()
	invoke.FunctionName, invoke.Qualifier = name, text("$DEFAULT")
	said, err := client.Invoke(invoke)
	must(err)
	if *said.Response.Result.InvokeResult != 0 {
		t.Error("the invocation failed")
	}
	none := scf.NewGetFunctionRequest()
	none.FunctionName = text("nobody")
	if _, err := client.GetFunction(none); err == nil || !strings.Contains(err.Error(), "ResourceNotFound.Function") {
		t.Errorf("%v", err)
	}

	s.do("diff").want(t, 0, "memory 64 -> 128", "timeout 5 -> 60", "variable BY_HAND is DELETED")
	s.do("apply").want(t, 0, "version 2 is in force")
	s.do("plan").want(t, 0, "0 steps")
}

// TestDeployFromASecretDocument: values that are in no environment come from the
// document that -secrets names.
func TestDeployFromASecretDocument(t *testing.T) {
	s := newSite(t, "serverless.yml")
	file := filepath.Join(t.TempDir(), "secrets.json")
	if err := os.WriteFile(file, []byte(`{"SECRET":"from-the-document-0123456789"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	delete(s.env, "SECRET")
	s.do("apply", "-secrets", "file:"+file).want(t, 0)
	if got := s.scf.env("backchannel-prod-bundle")["SECRET"]; got != "from-the-document-0123456789" {
		t.Errorf("SECRET is %q", got)
	}
}
