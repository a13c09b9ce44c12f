package main

import (
	"archive/zip"
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	scf "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/scf/v20180416"
)

const (
	cloudID  = "AKIDtheidofthesetests0000000000000000"
	cloudKey = "thekeyofthesetests00000000000000"
)

// fakeSCF is the API of Tencent SCF (2018-04-16) as far as imctl deploy uses it. It
// checks TC3 signatures and holds requests and answers against the models of Tencent's
// SDK, whose client it serves as well; it fails calls on request.
type fakeSCF struct {
	t *testing.T

	mu        sync.Mutex
	functions map[string]*fakeFunction
	calls     []string
	fail      map[string]string // by action, or action/function: the code of an error
	stop      int               // the API goes away after so many changes; 0: never
	changed   int
	unhealthy bool
	web       string // where function URLs lead, in place of the cloud
	bucket    string // name and region of the bucket with objects
	objects   map[string][]byte
}

type fakeFunction struct {
	config             map[string]any
	code               []byte
	versions           []string
	alias, description string
	triggers           []map[string]any
	busy               int    // looks until it is Active
	status             string // instead of Active, until the code is updated
}

func newFakeSCF(t *testing.T) (*fakeSCF, string) {
	f := &fakeSCF{t: t, functions: map[string]*fakeFunction{}, fail: map[string]string{}, bucket: "programs-" + bucketAppID + "/ap-singapore", objects: map[string][]byte{}}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return f, s.URL
}

// models are the requests and answers of each action as Tencent's own SDK has them,
// and the parameters that its models for TypeScript do not mark as optional (for
// GetFunction: that its page asks for). A request is read and an answer written by
// them, so that neither side of this fake has a field or a type that the API does not.
var models = map[string]struct {
	request, answer func() any
	required        string
}{
	"GetFunction":                     {model[scf.GetFunctionRequestParams], model[scf.GetFunctionResponseParams], "FunctionName"},
	"CreateFunction":                  {model[scf.CreateFunctionRequestParams], model[scf.CreateFunctionResponseParams], "FunctionName Code"},
	"UpdateFunctionCode":              {model[scf.UpdateFunctionCodeRequestParams], model[scf.UpdateFunctionCodeResponseParams], "FunctionName"},
	"UpdateFunctionConfiguration":     {model[scf.UpdateFunctionConfigurationRequestParams], model[scf.UpdateFunctionConfigurationResponseParams], "FunctionName"},
	"UpdateFunctionEventInvokeConfig": {model[scf.UpdateFunctionEventInvokeConfigRequestParams], model[scf.UpdateFunctionEventInvokeConfigResponseParams], "FunctionName AsyncTriggerConfig"},
	"PublishVersion":                  {model[scf.PublishVersionRequestParams], model[scf.PublishVersionResponseParams], "FunctionName"},
	"GetAlias":                        {model[scf.GetAliasRequestParams], model[scf.GetAliasResponseParams], "FunctionName Name"},
	"CreateAlias":                     {model[scf.CreateAliasRequestParams], model[scf.CreateAliasResponseParams], "FunctionName Name FunctionVersion"},
	"UpdateAlias":                     {model[scf.UpdateAliasRequestParams], model[scf.UpdateAliasResponseParams], "FunctionName Name FunctionVersion"},
	"ListTriggers":                    {model[scf.ListTriggersRequestParams], model[scf.ListTriggersResponseParams], "FunctionName"},
	"CreateTrigger":                   {model[scf.CreateTriggerRequestParams], model[scf.CreateTriggerResponseParams], "FunctionName TriggerName Type"},
	"UpdateTrigger":                   {model[scf.UpdateTriggerRequestParams], model[scf.UpdateTriggerResponseParams], "FunctionName TriggerName Type"},
	"DeleteTrigger":                   {model[scf.DeleteTriggerRequestParams], model[scf.DeleteTriggerResponseParams], "FunctionName TriggerName Type"},
	"DeleteFunction":                  {model[scf.DeleteFunctionRequestParams], model[scf.DeleteFunctionResponseParams], "FunctionName"},
	"ListFunctions":                   {model[scf.ListFunctionsRequestParams], model[scf.ListFunctionsResponseParams], "Limit"},
	"Invoke":                          {model[scf.InvokeRequestParams], model[scf.InvokeResponseParams], "FunctionName"},
}

func model[T any]() any { return new(T) }

// fits reads a document into a model, which has to know all of it.
func fits(document []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(document))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

func (f *fakeSCF) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	answer := func(v map[string]any) {
		v["RequestId"] = "r-1"
		_ = json.NewEncoder(w).Encode(map[string]any{"Response": v})
	}
	refuse := func(code, message string) {
		answer(map[string]any{"Error": map[string]string{"Code": code, "Message": message}})
	}
	if err := checkTC3(r, body); err != nil {
		refuse("AuthFailure.SignatureFailure", err.Error())
		return
	}
	action := r.Header.Get("X-TC-Action")
	var in map[string]any
	if json.Unmarshal(body, &in) != nil || r.Header.Get("X-TC-Version") != "2018-04-16" || r.Header.Get("X-TC-Region") != "ap-singapore" {
		f.t.Errorf("%s: not a request of this API: %s", action, body)
	}
	is, known := models[action]
	if !known {
		refuse("InvalidAction", "no such action")
		return
	}
	if err := fits(body, is.request()); err != nil {
		f.t.Errorf("%s is not what the API takes: %v", action, err)
	}
	for _, name := range strings.Fields(is.required) {
		if in[name] == nil {
			f.t.Errorf("%s lacks %s", action, name)
		}
	}
	name, _ := in["FunctionName"].(string)
	if action != "ListFunctions" && !regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{0,58}[a-zA-Z0-9]$`).MatchString(name) {
		f.t.Errorf("%s: function name %q", action, name)
	}
	f.calls = append(f.calls, action+" "+name)
	for _, key := range []string{action, action + "/" + name} {
		if code := f.fail[key]; code != "" {
			refuse(code, "as the test asked, about "+cloudKey)
			return
		}
	}
	if changes := !strings.HasPrefix(action, "Get") && !strings.HasPrefix(action, "List") && action != "Invoke"; changes {
		if f.changed++; f.stop > 0 && f.changed > f.stop {
			refuse("UnauthorizedOperation.Stopped", "the API went away")
			return
		}
	}
	function := f.functions[name]
	if function == nil && action != "CreateFunction" && action != "ListFunctions" {
		refuse("ResourceNotFound.Function", "no such function")
		return
	}
	out, code := f.do(action, name, function, in)
	if code != "" {
		refuse(code, "refused")
		return
	}
	if text, err := json.Marshal(out); err != nil || fits(text, is.answer()) != nil {
		f.t.Errorf("the fake answers %s with %s, which is not what the API answers", action, text)
	}
	answer(out)
}

func (f *fakeSCF) do(action, name string, is *fakeFunction, in map[string]any) (out map[string]any, code string) {
	out = map[string]any{}
	text := func(key string) string { s, _ := in[key].(string); return s }
	switch action {
	case "CreateFunction":
		if is != nil {
			return nil, "ResourceInUse.FunctionName"
		}
		code, _ := in["Code"].(map[string]any)
		is = &fakeFunction{config: in, code: f.program(code), alias: "$LATEST", busy: 2}
		delete(in, "Code")
		f.functions[name] = is
	case "UpdateFunctionCode":
		if is.busy > 0 {
			return nil, "FailedOperation.FunctionStatusError"
		}
		is.code, is.busy, is.status = f.program(in), 1, ""
	case "UpdateFunctionConfiguration":
		if is.busy > 0 {
			return nil, "FailedOperation.FunctionStatusError"
		}
		for k, v := range in {
			is.config[k] = v
		}
		is.busy = 1
	case "GetFunction":
		status := cmp.Or(is.status, "Active")
		if is.busy > 0 {
			is.busy--
			status = "Creating"
		}
		out = map[string]any{"Status": status}
		for _, k := range []string{"Description", "MemorySize", "Timeout", "Environment", "VpcConfig", "Role", "Handler", "Runtime", "Type", "DeadLetterConfig"} {
			if v := is.config[k]; v != nil {
				out[k] = v
			}
		}
	case "PublishVersion":
		if is.busy > 0 {
			return nil, "FailedOperation.FunctionStatusError"
		}
		is.versions = append(is.versions, strconv.Itoa(len(is.versions)+1))
		out["FunctionVersion"] = is.versions[len(is.versions)-1]
	case "GetAlias":
		out["FunctionVersion"], out["Description"], out["Name"] = is.alias, is.description, text("Name")
	case "UpdateAlias":
		if !slices.Contains(is.versions, text("FunctionVersion")) {
			return nil, "ResourceNotFound.FunctionVersion"
		}
		is.alias, is.description = text("FunctionVersion"), text("Description")
	case "ListFunctions":
		found := []map[string]any{}
		for _, name := range f.names() {
			if strings.Contains(name, text("SearchKey")) {
				found = append(found, map[string]any{"FunctionName": name})
			}
		}
		out["TotalCount"] = len(found)
		from := min(int(in["Offset"].(float64)), len(found))
		out["Functions"] = found[from:min(from+int(in["Limit"].(float64)), len(found))]
	case "ListTriggers":
		out["Triggers"], out["TotalCount"] = is.triggers, len(is.triggers)
	case "CreateTrigger":
		for _, t := range is.triggers {
			if t["TriggerName"] == text("TriggerName") {
				return nil, "ResourceInUse.TriggerName"
			}
		}
		is.triggers = append(is.triggers, f.trigger(name, in))
	case "UpdateTrigger", "DeleteTrigger":
		i := slices.IndexFunc(is.triggers, func(t map[string]any) bool {
			return t["TriggerName"] == in["TriggerName"] && t["Type"] == in["Type"] && t["Qualifier"] == in["Qualifier"]
		})
		switch {
		case i < 0:
			return nil, "ResourceNotFound.Trigger"
		case action == "UpdateTrigger":
			is.triggers[i] = f.trigger(name, in)
		default:
			is.triggers = slices.Delete(is.triggers, i, i+1)
		}
	case "DeleteFunction":
		delete(f.functions, name)
	case "Invoke":
		result := map[string]any{"InvokeResult": 0, "RetMsg": `{"statusCode":200,"body":"{}"}`}
		if f.unhealthy {
			result = map[string]any{"InvokeResult": 0, "RetMsg": `{"statusCode":500,"body":"{}"}`}
		}
		out["Result"] = result
	}
	return out, ""
}

// trigger is a trigger as the API answers it: a function URL has an address that
// depends on the function alone.
func (f *fakeSCF) trigger(function string, in map[string]any) map[string]any {
	t := map[string]any{"Type": in["Type"], "TriggerName": in["TriggerName"], "TriggerDesc": in["TriggerDesc"], "Qualifier": in["Qualifier"], "CustomArgument": in["CustomArgument"], "Description": in["Description"], "Enable": 1}
	if in["Enable"] != "OPEN" || in["Qualifier"] != "$DEFAULT" {
		f.t.Errorf("trigger %v", in)
	}
	desc, _ := in["TriggerDesc"].(string)
	if in["Type"] == "timer" {
		if len(strings.Fields(desc)) != 7 {
			f.t.Errorf("cron %q", desc)
		}
		t["TriggerDesc"] = fmt.Sprintf(`{"cron":%q}`, desc)
		return t
	}
	var url map[string]any
	if json.Unmarshal([]byte(desc), &url) != nil || url["AuthType"] != "NONE" {
		f.t.Errorf("a function URL's description: %s", desc)
		return t
	}
	net, _ := url["NetConfig"].(map[string]any)
	if net["EnableExtranet"] != true {
		f.t.Errorf("a function URL that nobody reaches: %s", desc)
	}
	net["ExtranetUrl"] = cmp.Or(f.web, "https://1250000000-"+function+".ap-singapore.tencentscf.com")
	full, _ := json.Marshal(url)
	t["TriggerDesc"] = string(full)
	return t
}

// program reads the zip that was sent or is in the bucket: one executable called main.
func (f *fakeSCF) program(from map[string]any) []byte {
	text := func(key string) string { s, _ := from[key].(string); return s }
	b, err := base64.StdEncoding.DecodeString(text("ZipFile"))
	if err != nil {
		f.t.Errorf("ZipFile is not base64: %v", err)
		return nil
	}
	if object := text("CosObjectName"); object != "" {
		if text("CosBucketName")+"-"+bucketAppID+"/"+text("CosBucketRegion") != f.bucket || len(b) > 0 {
			f.t.Errorf("the code is at %v; the bucket is %s", from, f.bucket)
		}
		b = f.objects[object]
	}
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil || len(z.File) == 0 || z.File[0].Name != "main" || z.File[0].Mode()&0o111 == 0 {
		f.t.Errorf("not the zip of a function: %v", err)
	}
	return b
}

// bucketAppID is that of the account, which ends the names of its buckets.
const bucketAppID = "1250000000"

// cos is the bucket that programs are uploaded to. It checks signatures as documented
// (436/7778), from the request alone; TestBucketSignature holds that against Tencent's
// own SDK.
func (f *fakeSCF) cos(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	refuse := func(status int, code string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "<?xml version='1.0' encoding='utf-8' ?><Error><Code>%s</Code><Message>about %s</Message></Error>", code, cloudKey)
	}
	if code := f.fail["PutObject"]; code != "" {
		status := http.StatusForbidden
		if code == "NoSuchBucket" {
			status = http.StatusNotFound
		}
		refuse(status, code)
		return
	}
	signed := map[string]string{}
	for pair := range strings.SplitSeq(r.Header.Get("Authorization"), "&") {
		name, value, _ := strings.Cut(pair, "=")
		signed[name] = value
	}
	mac := func(key, text string) string {
		h := hmac.New(sha1.New, []byte(key))
		h.Write([]byte(text))
		return hex.EncodeToString(h.Sum(nil))
	}
	var headers []string
	for name := range strings.SplitSeq(signed["q-header-list"], ";") {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		headers = append(headers, name+"="+url.QueryEscape(value))
	}
	sum := sha1.Sum([]byte(strings.ToLower(r.Method) + "\n" + r.URL.Path + "\n\n" + strings.Join(headers, "&") + "\n"))
	want := mac(mac(cloudKey, signed["q-key-time"]), "sha1\n"+signed["q-sign-time"]+"\n"+hex.EncodeToString(sum[:])+"\n")
	if signed["q-ak"] != cloudID || signed["q-signature"] != want || !strings.Contains(signed["q-header-list"], "host") {
		refuse(http.StatusForbidden, "SignatureDoesNotMatch")
		return
	}
	f.objects[r.URL.Path], _ = io.ReadAll(r.Body)
}

// names of the functions, in order.
func (f *fakeSCF) names() (names []string) {
	for name := range f.functions {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// env is a function's environment.
func (f *fakeSCF) env(name string) map[string]string {
	env := map[string]string{}
	list, _ := f.functions[name].config["Environment"].(map[string]any)["Variables"].([]any)
	for _, v := range list {
		pair := v.(map[string]any)
		env[pair["Key"].(string)] = pair["Value"].(string)
	}
	return env
}

var authorization = regexp.MustCompile(`^TC3-HMAC-SHA256 Credential=([^/]+)/(\d{4}-\d{2}-\d{2})/scf/tc3_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})$`)

// checkTC3 verifies a signature as documented (583/17238), from the request alone.
func checkTC3(r *http.Request, body []byte) error {
	m := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
	if m == nil {
		return fmt.Errorf("Authorization %q", r.Header.Get("Authorization")) //nolint:staticcheck // a header's name
	}
	if m[1] != cloudID {
		return fmt.Errorf("unknown SecretId")
	}
	var headers strings.Builder
	signed := strings.Split(m[3], ";")
	for _, h := range signed {
		value := r.Header.Get(h)
		if h == "host" {
			value = r.Host
		}
		fmt.Fprintf(&headers, "%s:%s\n", h, strings.ToLower(strings.TrimSpace(value)))
	}
	if !slices.Contains(signed, "content-type") || !slices.Contains(signed, "host") {
		return fmt.Errorf("content-type and host must be signed")
	}
	digest := func(b []byte) string { sum := sha256.Sum256(b); return hex.EncodeToString(sum[:]) }
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	for _, exact := range []bool{false, true} { // the SDK does not fold the case of content-type
		canonical := headers.String()
		if exact {
			canonical = "content-type:" + r.Header.Get("Content-Type") + "\nhost:" + r.Host + "\n"
		}
		request := "POST\n/\n\n" + canonical + "\n" + m[3] + "\n" + digest(body)
		scope := m[2] + "/scf/tc3_request"
		text := "TC3-HMAC-SHA256\n" + r.Header.Get("X-TC-Timestamp") + "\n" + scope + "\n" + digest([]byte(request))
		key := mac(mac(mac([]byte("TC3"+cloudKey), m[2]), "scf"), "tc3_request")
		if hex.EncodeToString(mac(key, text)) == m[4] {
			return nil
		}
	}
	return fmt.Errorf("the signature does not fit")
}
