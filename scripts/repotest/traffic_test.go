package repotest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.yaml.in/yaml/v3"

	"github.com/backchannel-im/backchannel/scripts/internal/deployment"
	"github.com/backchannel-im/backchannel/shared/bot/modeltest"
	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/faas/faastest"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/kv/dynamokv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/mail/mailtest"
	"github.com/backchannel-im/backchannel/shared/match/matchtest"
	"github.com/backchannel-im/backchannel/shared/mototest"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

// recorder stands between one function and the emulator of AWS, and writes down
// which actions the function carries out on which resources, as IAM names them.
type recorder struct {
	target string
	form   string      // which prefixes names of tables and queues
	moto   *sync.Mutex // which loses writes when requests overlap
	away   atomic.Bool // DynamoDB answers 500

	mu    sync.Mutex
	calls map[string]bool
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	service, operation, _ := strings.Cut(req.Header.Get("X-Amz-Target"), ".")
	r.note(service, operation, body)
	if r.away.Load() && strings.HasPrefix(service, "DynamoDB") {
		http.Error(w, `{"__type":"InternalServerError"}`, http.StatusInternalServerError)
		return
	}
	r.moto.Lock()
	defer r.moto.Unlock()
	out, err := http.NewRequestWithContext(context.WithoutCancel(req.Context()), req.Method, r.target+req.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	out.Header = req.Header.Clone()
	res, err := http.DefaultClient.Do(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer res.Body.Close()
	maps.Copy(w.Header(), res.Header)
	w.WriteHeader(res.StatusCode)
	_, _ = io.Copy(w, res.Body)
}

// note writes one request down. A transaction is allowed by the actions that it is
// made of, and a batch of messages by sqs:SendMessage.
func (r *recorder) note(service, operation string, body []byte) {
	var in struct {
		TableName, IndexName, QueueUrl, SecretId string //nolint:revive // the services' spelling
		RequestItems                             map[string]any
		TransactItems                            []map[string]struct{ TableName string }
	}
	_ = json.Unmarshal(body, &in)
	r.mu.Lock()
	defer r.mu.Unlock()
	table := func(name string) string { return "table " + strings.TrimPrefix(name, r.form) }
	switch {
	case operation == "TransactWriteItems":
		for _, item := range in.TransactItems {
			for kind, action := range item {
				if kind != "ConditionCheck" {
					kind = strings.TrimSuffix(kind, "Item")
				}
				r.calls["dynamodb:"+kind+"Item on "+table(action.TableName)] = true
			}
		}
	case operation == "BatchGetItem":
		for name := range in.RequestItems {
			r.calls["dynamodb:BatchGetItem on "+table(name)] = true
		}
	case in.IndexName != "":
		r.calls["dynamodb:"+operation+" on "+table(in.TableName)+" index "+in.IndexName] = true
	case strings.HasPrefix(service, "DynamoDB"):
		r.calls["dynamodb:"+operation+" on "+table(in.TableName)] = true
	case service == "AmazonSQS":
		r.calls["sqs:"+strings.TrimSuffix(operation, "Batch")+" on queue "+strings.TrimPrefix(in.QueueUrl[strings.LastIndexByte(in.QueueUrl, '/')+1:], r.form)] = true
	default:
		r.calls[service+":"+operation+" on secret "+in.SecretId] = true
	}
}

// What the template's resources are called in this test.
var resources = map[string]string{
	"!GetAtt State.Arn": "table state", "!Sub ${State.Arn}/index/open": "table state index open",
	"!GetAtt FastJobs.Arn": "queue fast", "!GetAtt SlowJobs.Arn": "queue slow", "!Ref SecretArn": "secret backchannel",
}

// allowed returns what the policies of a function of template.yaml allow, in the
// words of [recorder]. Decrypting with a key of the deployer's goes through Secrets
// Manager and is no call of ours.
func allowed(t *testing.T, document *yaml.Node, name string) map[string][]string {
	t.Helper()
	byPolicy := map[string][]string{}
	at := func(n *yaml.Node, path ...string) *yaml.Node {
		for _, key := range path {
			if n.Kind != yaml.MappingNode {
				return &yaml.Node{}
			}
			i := slices.IndexFunc(n.Content, func(k *yaml.Node) bool { return k.Value == key })
			if i < 0 {
				return &yaml.Node{}
			}
			n = n.Content[i+1]
		}
		return n
	}
	list := func(n *yaml.Node) []*yaml.Node {
		if n.Kind == yaml.SequenceNode {
			return n.Content
		}
		return []*yaml.Node{n}
	}
	all := at(document, "Resources")
	for i := 0; i < len(all.Content); i += 2 {
		if at(all.Content[i+1], "Properties", "CodeUri").Value != "build/aws/"+name {
			continue
		}
		for _, p := range at(all.Content[i+1], "Properties", "Policies").Content {
			id := p.Value
			if p.Tag == "!If" {
				id = p.Content[1].Value
			}
			for _, s := range at(all, id, "Properties", "PolicyDocument", "Statement").Content {
				if s.Tag == "!If" { // kms:Decrypt
					if !strings.Contains(at(s.Content[1], "Condition", "StringEquals", "kms:ViaService").Value, "secretsmanager.") {
						t.Errorf("%s: %s allows more than decrypting for Secrets Manager", name, id)
					}
					continue
				}
				for _, action := range list(at(s, "Action")) {
					for _, resource := range list(at(s, "Resource")) {
						word, known := resources[resource.Tag+" "+resource.Value]
						if !known {
							t.Fatalf("%s: a policy of %s names the resource %s %s", name, id, resource.Tag, resource.Value)
						}
						byPolicy[id] = append(byPolicy[id], action.Value+" on "+word)
					}
				}
			}
		}
	}
	return byPolicy
}

// cloud is functions of template.yaml on the emulators: a process for each, which
// gets exactly the settings of the template, and a recorder.
type cloud struct {
	*testing.T
	form      string
	recorders map[string]*recorder
	lambdas   map[string]*faastest.Lambda
	sqs       *sqs.Client
	down      atomic.Bool // no function URL answers
}

// faults returns what a function logged as errors.
func (c *cloud) faults(function string) string {
	var out strings.Builder
	for _, line := range c.lambdas[function].Logs() {
		if line["level"] == "ERROR" {
			fmt.Fprintf(&out, "\n\t%v", line)
		}
	}
	return out.String()
}

func startCloud(t *testing.T, form string, functions []deployment.Function) *cloud {
	t.Helper()
	moto := mototest.Start(t)
	one := new(sync.Mutex)
	credentials := aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}
	provider := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return credentials, nil })
	const region = "eu-central-1"
	c := &cloud{T: t, form: form, recorders: map[string]*recorder{}, lambdas: map[string]*faastest.Lambda{}}
	c.sqs = sqs.New(sqs.Options{Region: region, BaseEndpoint: &moto, Credentials: provider})
	tables := dynamodb.New(dynamodb.Options{Region: region, BaseEndpoint: &moto, Credentials: provider})
	if _, err := tables.CreateTable(t.Context(), dynamokv.TableInput(form+"state")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{form + "fast", form + "slow"} {
		if _, err := c.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name}); err != nil {
			t.Fatal(err)
		}
	}
	// The secrets are in the document, and in nobody's environment.
	values := kit.Settings(nil)
	secret := map[string]string{}
	for _, name := range []string{"SECRET", "CALLBACK_TOKEN", "API_KEYS", "VIRGIL_APP_KEY", "VIRGIL_APP_KEY_ID", "MAIL_HOOK_KEY", "MATCH_HOOK_KEY", "LLM_API_KEY"} {
		secret[name] = values[name]
	}
	const hookKey = "a key of this test alone"
	secret["MAIL_HOOK_KEY"], secret["MATCH_HOOK_KEY"], secret["LLM_API_KEY"] = hookKey, hookKey, hookKey
	secret["STRIKES_FROM_SEVERITY"] = "1" // the document may hold any setting
	document, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	create, err := json.Marshal(map[string]string{"Name": "backchannel", "SecretString": string(document), "ClientRequestToken": "00000000-0000-0000-0000-000000000009"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, moto+"/", bytes.NewReader(create))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "secretsmanager.CreateSecret")
	if err := v4.NewSigner().SignHTTP(t.Context(), credentials, r, "UNSIGNED-PAYLOAD", "secretsmanager", region, time.Now()); err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()

	emulator := imtest.NewServer(imtest.Options{})
	t.Cleanup(emulator.Close)
	emulator.AddApp(imtest.AppConfig{SDKAppID: kit.AppID, Key: kit.Secret})
	zendesk := desktest.NewZendesk(desktest.ZendeskConfig{ClientID: "app", ClientSecret: "s", GroupField: 360, WebhookSecret: "another-secret-of-this-test"})
	settings := deployment.Sample("")
	for name := range secret {
		settings[name] = ""
	}
	maps.Copy(settings, map[string]string{
		"SDK_APP_ID": fmt.Sprint(kit.AppID), "IM_DOMAIN": serve(t, emulator), "SECRETS_URL": "aws-secretsmanager:backchannel",
		"SHOPIFY_SECRET": shopSecret, "ZENDESK_URL": serve(t, zendesk), "ZENDESK_CLIENT_SECRET": "s", "LLM_BASE_URL": serve(t, &modeltest.Server{}) + "/v1",
		"MATCH_HOOK_URL": serve(t, matchtest.NewHook(hookKey, time.Now)) + "/start", "MAIL_HOOK_URL": serve(t, mailtest.NewGame(hookKey, time.Now)),
	})
	fronts := map[string]string{}
	for _, f := range functions {
		fronts[f.Name] = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c.down.Load() {
				http.Error(w, "down", http.StatusBadGateway)
				return
			}
			res, err := c.lambdas[f.Name].Do(faastest.FunctionURL, r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			defer res.Body.Close()
			maps.Copy(w.Header(), res.Header)
			w.WriteHeader(res.StatusCode)
			_, _ = io.Copy(w, res.Body)
		}))
	}
	for _, f := range functions {
		rec := &recorder{target: moto, form: form, moto: one, calls: map[string]bool{}}
		c.recorders[f.Name] = rec
		at := serve(t, rec)
		mine := maps.Clone(settings)
		// Where the emulators listen stands in place of what AWS's names lead to.
		mine["STATE_URL"] = "dynamodb:" + form + "state?endpoint=" + at
		mine["QUEUE_URL"] = at + "/123456789012/" + form + "fast," + at + "/123456789012/" + form + "slow"
		env := environment(t, f, mine)
		maps.Copy(env, map[string]string{"SECRETS_ENDPOINT": at, "AWS_REGION": region, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"})
		for name := range env {
			if other, is := strings.CutPrefix(name, "FORWARD_"); is {
				env[name] = fronts[strings.ToLower(strings.ReplaceAll(other, "_", "-"))] + "/im"
			}
		}
		c.lambdas[f.Name] = faastest.StartLambda(t, program(t, f.Name), env)
	}
	return c
}

// ask sends a request to a function and wants a status.
func (c *cloud) ask(function string, r *http.Request, status int) kit.Answer {
	c.Helper()
	res, err := c.lambdas[function].Do(faastest.FunctionURL, r)
	if err != nil {
		c.Fatalf("%s %s: %v", function, r.URL.Path, err)
	}
	a := kit.Read(c.T, res)
	if a.Status != status {
		c.Errorf("%s: %s %s: %d %s, want %d%s", function, r.Method, r.URL.Path, a.Status, a.Text, status, c.faults(function))
	}
	return a
}

// hear sends a callback to a function, and like IM sends it once more where the
// function had no time for it: on a busy machine moto takes longer than a callback
// has. Any other fault is one.
func (c *cloud) hear(function, body string) {
	c.Helper()
	for range 2 {
		before := len(c.lambdas[function].Logs())
		res, err := c.lambdas[function].Do(faastest.FunctionURL, kit.Callback(c.T, body))
		if err != nil {
			c.Fatalf("%s: a callback: %v", function, err)
		}
		a := kit.Read(c.T, res)
		if a.Status == http.StatusOK {
			return
		}
		for _, line := range c.lambdas[function].Logs()[before:] {
			if line["error"] != nil && !strings.Contains(fmt.Sprint(line["error"]), context.DeadlineExceeded.Error()) {
				c.Errorf("%s: a callback: %d %s: %v", function, a.Status, a.Text, line)
			}
		}
	}
	c.ask(function, kit.Callback(c.T, body), http.StatusOK)
}

// work brings the jobs of both queues to the worker until there are none.
func (c *cloud) work(worker string) {
	c.Helper()
	for range 20 {
		moved := 0
		for _, name := range []string{"fast", "slow"} {
			url := c.recorders[worker].target + "/123456789012/" + c.form + name
			out, err := c.sqs.ReceiveMessage(c.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10})
			if err != nil {
				c.Fatal(err)
			}
			for _, m := range out.Messages {
				moved++
				if _, err := c.lambdas[worker].SQS(faastest.Message{ID: *m.MessageId, Body: *m.Body}); err != nil {
					c.Errorf("a job: %v", err)
				}
				if _, err := c.sqs.DeleteMessage(c.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle}); err != nil {
					c.Fatal(err)
				}
			}
		}
		if moved == 0 {
			return
		}
	}
}

// outage is a callback while the store is away: it becomes a job.
func (c *cloud) outage(function, body string) {
	c.Helper()
	c.recorders[function].away.Store(true)
	c.hear(function, body)
	c.recorders[function].away.Store(false)
}

func named(name string, r *http.Request) *http.Request {
	r.Header.Set("Idempotency-Key", name)
	return r
}

func delivered(room, user string, seq int) string {
	return strings.ReplaceAll(kit.AfterSend(user, seq), "lobby", room)
}

// drive uses each function as its page says. of names the function that carries out
// the part of another.
func (c *cloud) drive(of func(function string) string) {
	c.Helper()
	get := func(path string) *http.Request { return kit.Get(path, kit.Key) }
	post := func(path, body string) *http.Request { return kit.Post(path, kit.Key, body) }
	issuer := of("usersig-issuer")
	c.ask(issuer, post("/usersig", `{"userID":"alice"}`), 200)
	c.ask(issuer, post("/usersig", `{"userID":"bob"}`), 200)
	c.ask(issuer, put("/revocations/mallory", kit.Key, `{"seconds":60,"reason":"spam"}`), 200)
	c.ask(issuer, get("/revocations"), 200)
	guest := c.ask(issuer, kit.Post("/shopify/usersig?"+shopper(""), "", "{}"), 200)
	c.ask(issuer, kit.Post("/shopify/usersig?"+shopper("4711"), "", fmt.Sprintf(`{"guestToken":%q}`, guest.JSON["guestToken"])), 200)
	c.ask(issuer, get("/usersig/copies"), 200)

	filter := of("before-send-filter")
	c.hear(filter, kit.BeforeSend("good evening"))
	c.hear(filter, kit.BeforeSend("kill yourself"))    // held for a moderator
	c.hear(filter, kit.BeforeSend("cocaine for sale")) // refused, with a strike
	c.ask(filter, get("/moderation/reviews"), 200)
	c.ask(filter, post("/moderation/strikes/eve", `{"weight":10,"reason":"spam"}`), 200)
	c.ask(filter, get("/moderation/trail"), 200)
	c.ask(filter, post("/moderation/lists/candidate", ruleImage(c.T)), 200)

	counter := of("after-send-counter")
	for _, seq := range []int{1, 2, 200} {
		c.hear(counter, delivered("lobby", "alice", seq))
	}
	c.ask(counter, get("/rooms/lobby/stats"), 200)
	c.ask(counter, get("/rooms/lobby/stats/users/alice"), 200)
	c.ask(counter, get("/leaderboards/popularity"), 200)
	c.outage(counter, delivered("lobby", "alice", 3))

	virgil := of("virgil-jwt-issuer")
	c.ask(virgil, post("/virgil-jwt", `{"identity":"alice"}`), 200)
	c.ask(virgil, asAlice(kit.Post("/credentials", "", "")), 200)

	starter := of("group-full-starter")
	team := c.ask(starter, named("t", post("/teams", `{"size":2,"captain":"alice"}`)), 201)
	group, _ := team.JSON["groupId"].(string)
	c.ask(starter, post("/teams/"+group+"/members", `{"userIds":["bob"]}`), 200)
	c.ask(starter, get("/teams?open=1"), 200)
	c.hear(starter, fmt.Sprintf(`{"CallbackCommand":"Group.CallbackAfterGroupFull","GroupId":%q}`, group))

	desk := of("ticket-creator")
	c.ask(desk, named("k", post("/createticket", `{"userId":"alice","caseInfo":{"desc":"the printer is offline"}}`)), 200)
	c.ask(desk, get("/tickets?userId=alice"), 200)
	c.ask(desk, post("/casechanges", `{"changes":[{"op":"closed","caseId":"35001"}]}`), 200)
	c.ask(desk, named("k2", post("/createticket", `{"userId":"bob","caseInfo":{"desc":"the printer is on fire"}}`)), 200)

	robots := of("bot-responder")
	c.hear(robots, `{"CallbackCommand":"Bot.OnC2CMessage","From_Account":"alice","To_Account":"@RBT#001","MsgSeq":1,"MsgTime":1557481126,`+
		`"MsgKey":"1_1_1557481126","MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"hello"}}]}`)
	inGroup := `{"CallbackCommand":"Bot.OnGroupMessage","GroupId":"party","From_Account":"alice","AtRobots_Account":["@RBT#001"],"MsgSeq":1,"MsgTime":1557481126,` +
		`"EventTime":"1557481126000","MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"hello"}}]}`
	c.hear(robots, inGroup)
	c.outage(robots, inGroup)
	c.ask(robots, get("/bots/@RBT%23001/usage"), 200)

	live := of("live-room-manager")
	c.ask(live, named("r", post("/rooms", `{"roomId":"show","name":"Show","owner":"alice"}`)), 201)
	c.ask(live, get("/rooms?sort=popularity"), 200)
	c.ask(live, put("/rooms/show/status", kit.Key, `{"status":"live","version":1}`), 200)
	c.ask(live, post("/rooms/show/mute", `{"userId":"eve","seconds":60}`), 200)
	c.ask(live, put("/gifts/rose", kit.Key, `{"name":"Rose","units":"pcs","price":10}`), 200)
	c.ask(live, named("w", post("/wallets/alice/topup", `{"amount":50}`)), 200)
	c.ask(live, named("g", asAlice(kit.Post("/rooms/show/gifts", "", `{"giftId":"rose","count":2,"price":10}`))), 201)
	c.ask(live, named("l", post("/rooms/show/lotteries", `{"keyword":"win","winners":1,"seconds":60,"prize":"a rose"}`)), 201)
	c.hear(live, strings.ReplaceAll(delivered("show", "bob", 7), "hello", "win"))
	c.ask(live, get("/rooms/show/members?kind=latest"), 200)
	c.ask(live, named("b", post("/broadcast", `{"msgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"hello"}}],"rooms":["show"]}`)), 202)

	town := of("community-keeper")
	c.ask(town, named("c", post("/communities", `{"communityId":"town","name":"Town","owner":"alice"}`)), 201)
	c.ask(town, withMethod("PATCH", post("/communities/town", `{"name":"City","version":1}`)), 200)
	c.ask(town, post("/communities/town/mute", `{"userId":"eve","seconds":60}`), 200)
	c.ask(town, get("/communities/town/members"), 200)
	c.ask(town, get("/communities/town/voice"), 200)
	private := c.ask(town, named("f", post("/communities/town/channels", `{"name":"secret","kind":"private"}`)), 200)
	c.ask(town, post("/communities/town/kick", `{"userIds":["eve"],"reason":"spam"}`), 200)

	c.outage(town, `{"CallbackCommand":"Group.CallbackAfterCreateGroup","GroupId":"@TGS#_village","Operator_Account":"alice","Owner_Account":"alice",`+
		`"Type":"Community","Name":"Village","MemberList":[],"UserDefinedDataList":[],"EventTime":"1670574414123"}`)

	mail := of("mail-carrier")
	c.ask(mail, named("m", post("/mail", `{"to":{"users":["alice","bob"]},"title":"hello","attachments":[{"itemId":"gem","count":1}]}`)), 202)
	c.ask(mail, get("/mail"), 200)

	worker := of("job-worker")
	c.work(worker)
	var members string
	for _, category := range private.JSON["categories"].([]any) {
		for _, channel := range category.(map[string]any)["channels"].([]any) {
			if is := channel.(map[string]any); is["kind"] == "private" {
				members, _ = is["groupId"].(string)
			}
		}
	}
	c.hear(town, delivered(members, "alice", 1)) // the first message of an hour has the community reviewed
	c.ask(mail, asAlice(kit.Get("/inbox", "")), 200)
	c.ask(mail, asAlice(kit.Post("/inbox/claim", "", "{}")), 200)

	router := of("callback-router")
	c.hear(router, kit.BeforeSend("good evening"))
	c.hear(router, delivered("lobby", "bob", 201))
	c.down.Store(true)
	c.hear(router, delivered("lobby", "bob", 202)) // a job, since nobody counts it now
	c.down.Store(false)
	c.ask(worker, post("/doctor/checks", `{}`), 201)
	c.ask(worker, get("/jobs"), 200)
	c.ask(worker, get("/users/alice/records"), 200)
	c.ask(worker, withMethod("DELETE", get("/users/bob/records")), 200)
	if err := c.lambdas[of("clock")].Schedule(); err != nil {
		c.Errorf("the clock: %v%s", err, c.faults(of("clock")))
	}
	c.work(worker)
}

// maxPolicies is how many of our policies a function may have: a role takes ten, and
// SAM adds one for the log and one for the queues that call the function.
const maxPolicies = 8

// differences compares what the policies of a function allow with what it did.
func differences(byPolicy map[string][]string, did map[string]bool) (faults []string) {
	idle := maps.Clone(did)
	for _, policy := range slices.Sorted(maps.Keys(byPolicy)) {
		for _, pair := range byPolicy[policy] {
			if !did[pair] {
				faults = append(faults, fmt.Sprintf("may by %s, and never does, %s", policy, pair))
			}
			delete(idle, pair)
		}
	}
	for _, pair := range slices.Sorted(maps.Keys(idle)) {
		faults = append(faults, "does, and may not, "+pair)
	}
	if len(byPolicy) > maxPolicies {
		faults = append(faults, fmt.Sprintf("has %d policies, and AWS takes %d", len(byPolicy), maxPolicies))
	}
	return faults
}

// TestPoliciesAreTheTraffic runs the functions of template.yaml on the emulators, uses
// every one, and compares what each did there with what its policies allow. A function
// that does what it may not is a fault, and so is one that may what it never does.
func TestPoliciesAreTheTraffic(t *testing.T) {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(read(t, "template.yaml")), &document); err != nil {
		t.Fatal(err)
	}
	functions := deployed(t, "template.yaml")
	isBundle := func(f deployment.Function) bool { return f.Name == "bundle" }
	split := startCloud(t, "split-", slices.DeleteFunc(slices.Clone(functions), isBundle))
	split.drive(func(function string) string { return function })
	recorders := split.recorders
	if enginetest.Full() { // the bundle does in one process what the others did
		whole := startCloud(t, "bundle-", slices.DeleteFunc(slices.Clone(functions), func(f deployment.Function) bool { return !isBundle(f) }))
		whole.drive(func(string) string { return "bundle" })
		maps.Copy(recorders, whole.recorders)
	} else {
		functions = slices.DeleteFunc(functions, isBundle)
	}
	for _, f := range functions {
		for _, fault := range differences(allowed(t, document.Content[0], f.Name), recorders[f.Name].calls) {
			t.Errorf("%s %s", f.Name, fault)
		}
	}
}

// TestPoliciesAreCompared: the comparison finds both kinds of fault, by policy and
// resource.
func TestPoliciesAreCompared(t *testing.T) {
	policies := map[string][]string{"Read": {"get on table state", "get on table index"}, "Send": {"send on queue fast"}}
	for want, did := range map[string]map[string]bool{
		"": {"get on table state": true, "get on table index": true, "send on queue fast": true},
		"may by Read, and never does, get on table index": {"get on table state": true, "send on queue fast": true},
		"may by Send, and never does, send on queue fast; does, and may not, send on queue slow": {
			"get on table state": true, "get on table index": true, "send on queue slow": true,
		},
	} {
		if got := strings.Join(differences(policies, did), "; "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
