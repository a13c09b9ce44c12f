package openai_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/bot"
	"github.com/backchannel-im/backchannel/shared/bot/modeltest"
	"github.com/backchannel-im/backchannel/shared/bot/openai"
)

// bench is a fake of the API, and a model before it whose pauses take no time.
type bench struct {
	*testing.T
	server *modeltest.Server
	url    string
	now    time.Time
	slept  []time.Duration
}

func newBench(t *testing.T) *bench {
	b := &bench{T: t, server: &modeltest.Server{}, now: time.Now()}
	web := httptest.NewServer(b.server)
	t.Cleanup(web.Close)
	b.url = web.URL
	return b
}

func (b *bench) model(change func(*openai.Config)) *openai.Model {
	b.Helper()
	c := openai.Config{
		URL: b.url + "/v1/", Key: "s3cret", Models: []string{"first", "second"}, Now: func() time.Time { return b.now },
		Sleep: func(ctx context.Context, d time.Duration) error { b.slept = append(b.slept, d); return ctx.Err() },
	}
	if change != nil {
		change(&c)
	}
	m, err := openai.New(c)
	if err != nil {
		b.Fatal(err)
	}
	return m
}

// complete asks for a whole answer.
func complete(m *openai.Model, ctx context.Context) (string, error) {
	reply, err := m.Ask(ctx, bot.Question{Turns: hello}, nil)
	return reply.Text, err
}

var hello = []bot.Turn{{Role: bot.System, Text: "be kind"}, {Role: bot.User, Text: "hello, my private words"}}

func TestWhatIsAsked(t *testing.T) {
	b := newBench(t)
	m := b.model(func(c *openai.Config) { c.MaxTokens = 99 })
	text, err := complete(m, t.Context())
	if err != nil || text != "You said: hello, my private words" {
		t.Fatalf("%q, %v", text, err)
	}
	a := b.server.Asked()[0]
	if a.Body["stream"] != false {
		t.Errorf("stream is %v, want false: some servers stream unless told otherwise", a.Body["stream"])
	}
	if a.Model != "first" || a.Key != "s3cret" || !slices.Equal(a.Roles, []string{"system", "user"}) || a.Body["max_completion_tokens"] != 99.0 {
		t.Errorf("asked %+v", a)
	}
	old := b.model(func(c *openai.Config) { c.MaxTokens, c.TokensField = 7, "max_tokens" })
	if _, err := complete(old, t.Context()); err != nil || b.server.Asked()[1].Body["max_tokens"] != 7.0 {
		t.Errorf("%v, asked %+v", err, b.server.Asked()[1])
	}
}

// TestAnswers: each kind of answer, and who is asked how often until then.
func TestAnswers(t *testing.T) {
	repeat := func(n int, m modeltest.Behaviour) []modeltest.Behaviour {
		return slices.Repeat([]modeltest.Behaviour{m}, n)
	}
	for name, tt := range map[string]struct {
		next   []modeltest.Behaviour
		text   string
		err    error
		models string // that were asked
		slept  []time.Duration
	}{
		"thoughts":                         {next: []modeltest.Behaviour{{Text: "<think>hm, let me\nsee</think>\n\nYes. <think>or no"}}, text: "Yes.", models: "first"},
		"busy":                             {next: []modeltest.Behaviour{{Status: 429, RetryAfter: "7"}}, text: "You said: hello, my private words", models: "first first", slept: []time.Duration{7 * time.Second}},
		"trouble":                          {next: []modeltest.Behaviour{{Status: 500}, {Status: 503}}, models: "first first first", text: "You said: hello, my private words", slept: []time.Duration{500 * time.Millisecond, time.Second}},
		"cut off":                          {next: []modeltest.Behaviour{{Cut: true}}, models: "first first", text: "You said: hello, my private words"},
		"no JSON":                          {next: []modeltest.Behaviour{{Raw: "<html>"}}, models: "first first", text: "You said: hello, my private words"},
		"nothing said":                     {next: []modeltest.Behaviour{{Raw: `{"choices":[]}`}}, models: "first first", text: "You said: hello, my private words"},
		"fallback":                         {next: repeat(3, modeltest.Behaviour{Status: 502}), models: "first first first second", text: "You said: hello, my private words"},
		"no such model":                    {next: []modeltest.Behaviour{{Status: 404, Code: "model_not_found"}}, models: "first second", text: "You said: hello, my private words"},
		"no money":                         {next: []modeltest.Behaviour{{Status: 429, Code: "insufficient_quota"}}, models: "first second", text: "You said: hello, my private words"},
		"longer than there":                {next: []modeltest.Behaviour{{Status: 429, RetryAfter: "3600"}}, models: "first second", text: "You said: hello, my private words"},
		"refused":                          {next: []modeltest.Behaviour{{Finish: "content_filter"}}, models: "first", err: bot.ErrRefused},
		"refused in words":                 {next: []modeltest.Behaviour{{Raw: `{"choices":[{"message":{"content":null,"refusal":"no"}}]}`}}, models: "first", err: bot.ErrRefused},
		"refused by status":                {next: []modeltest.Behaviour{{Status: 400, Code: "content_filter"}}, models: "first", err: bot.ErrRefused},
		"a refusal with 422":               {next: []modeltest.Behaviour{{Status: 422, Code: "content_policy_violation"}}, models: "first", err: bot.ErrRefused},
		"Azure's refusal":                  {next: []modeltest.Behaviour{{Status: 400, Body: `{"error":{"code":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}`}}, models: "first", err: bot.ErrRefused},
		"Alibaba's refusal":                {next: []modeltest.Behaviour{{Status: 400, Body: `{"error":{"code":"data_inspection_failed","param":null,"type":"data_inspection_failed"}}`}}, models: "first", err: bot.ErrRefused},
		"Alibaba's refusal, unwrapped":     {next: []modeltest.Behaviour{{Status: 400, Body: `{"code":"DataInspectionFailed","message":"x"}`}}, models: "first", err: bot.ErrRefused},
		"Zhipu's refusal":                  {next: []modeltest.Behaviour{{Status: 400, Body: `{"contentFilter":[{"level":1,"role":"user"}],"error":{"code":"1301","message":"x"}}`}}, models: "first", err: bot.ErrRefused},
		"Volcano's refusal":                {next: []modeltest.Behaviour{{Status: 400, Body: `{"error":{"code":"InputTextSensitiveContentDetected","type":"BadRequest"}}`}}, models: "first", err: bot.ErrRefused},
		"Moonshot's refusal":               {next: []modeltest.Behaviour{{Status: 400, Body: `{"error":{"message":"x","type":"content_filter"}}`}}, models: "first", err: bot.ErrRefused},
		"DeepSeek's refusal":               {next: []modeltest.Behaviour{{Status: 400, Body: `{"error":{"message":"Content Exists Risk","type":"invalid_request_error","code":"invalid_request_error"}}`}}, models: "first", err: bot.ErrRefused},
		"StepFun's refusal":                {next: []modeltest.Behaviour{{Status: 451, Body: `{"error":{"type":"censorship_blocked"}}`}}, models: "first", err: bot.ErrRefused},
		"finish sensitive":                 {next: []modeltest.Behaviour{{Finish: "sensitive"}}, models: "first", err: bot.ErrRefused},
		"finish SAFETY":                    {next: []modeltest.Behaviour{{Finish: "SAFETY"}}, models: "first", err: bot.ErrRefused},
		"a refusal in the choice":          {next: []modeltest.Behaviour{{Raw: `{"choices":[{"error":{"code":"content_filter"},"message":{"content":""}}]}`}}, models: "first", err: bot.ErrRefused},
		"a refusal among the parts":        {next: []modeltest.Behaviour{{Raw: `{"choices":[{"message":{"content":[{"type":"refusal","refusal":"no"}]}}]}`}}, models: "first", err: bot.ErrRefused},
		"an ordinary 400 is no refusal":    {next: []modeltest.Behaviour{{Status: 400, Code: "invalid_value"}}, models: "first second", text: "You said: hello, my private words"},
		"Google's list":                    {next: []modeltest.Behaviour{{Status: 400, Body: `[{"error":{"code":400,"status":"INVALID_ARGUMENT"}}]`}}, models: "first second", text: "You said: hello, my private words"},
		"content as parts":                 {next: []modeltest.Behaviour{{Raw: `{"choices":[{"message":{"content":[{"type":"text","text":"Hel"},{"type":"image_url"},{"text":"lo"}]}}]}`}}, models: "first", text: "Hello"},
		"odd fields":                       {next: []modeltest.Behaviour{{Raw: `{"id":7,"choices":[{"index":"0","message":{"content":"fine","refusal":false},"finish_reason":1}],"error":"","usage":"none"}`}}, models: "first", text: "fine"},
		"an error of nothing":              {next: []modeltest.Behaviour{{Raw: `{"error":{},"choices":[{"message":{"content":"fine"},"finish_reason":null}],"base_resp":null}`}}, models: "first", text: "fine"},
		"an error that is false":           {next: []modeltest.Behaviour{{Raw: `{"error":false,"choices":[{"message":{"content":"fine"}}]}`}}, models: "first", text: "fine"},
		"an error in words":                {next: []modeltest.Behaviour{{Raw: `{"error":"out of memory"}`}}, models: "first first", text: "You said: hello, my private words"},
		"a gateway's 429 within 200":       {next: []modeltest.Behaviour{{Raw: `{"error":{"code":429,"message":"x"}}`}}, models: "first first", text: "You said: hello, my private words"},
		"a gateway's 401 within 200":       {next: []modeltest.Behaviour{{Raw: `{"error":{"code":401,"message":"x"}}`}}, models: "first second", text: "You said: hello, my private words"},
		"an error in the choice":           {next: []modeltest.Behaviour{{Raw: `{"choices":[{"error":{"code":502,"message":"x"},"message":{"content":"half an"}}]}`}}, models: "first first", text: "You said: hello, my private words"},
		"nothing but a text of no letters": {next: []modeltest.Behaviour{{Raw: `{"choices":[{"message":{"content":"  "},"finish_reason":"stop"}]}`}}, models: "first first", text: "You said: hello, my private words"},
		"only reasoning":                   {next: []modeltest.Behaviour{{Raw: `{"choices":[{"message":{"content":null,"reasoning_content":"hm"},"finish_reason":"stop"}]}`}}, models: "first first", text: "You said: hello, my private words"},
		"length within a thought":          {next: []modeltest.Behaviour{{Text: "<think>hm, and then", Finish: "length"}}, models: "first first", text: "You said: hello, my private words"},
		"length within the answer":         {next: []modeltest.Behaviour{{Text: "Once upon a", Finish: "length"}}, models: "first", text: "Once upon a"},
		"a BOM":                            {next: []modeltest.Behaviour{{Raw: "\ufeff" + `{"choices":[{"message":{"content":"fine"}}]}`}}, models: "first", text: "fine"},
		"DONE after the answer":            {next: []modeltest.Behaviour{{Raw: `{"choices":[{"message":{"content":"fine"}}]}` + "\n\ndata: [DONE]\n\n"}}, models: "first", text: "fine"},
		"something after the answer":       {next: []modeltest.Behaviour{{Raw: `{"choices":[{"message":{"content":"fine"}}]}<html>`}}, models: "first first", text: "You said: hello, my private words"},
		"a stream nevertheless":            {next: []modeltest.Behaviour{{Stream: true, Text: "a stream nobody asked for"}}, models: "first", text: "a stream nobody asked for"},
		"a stream with comments and CRLF":  {next: []modeltest.Behaviour{{Raw: ": OPENROUTER PROCESSING\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"fi\"}}]}\r\n\r\ndata: {\"choices\":[],\"usage\":{}}\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"ne\"},\"finish_reason\":\"stop\"}]}\r\n\r\n"}}, models: "first", text: "fine"},
		"a stream that repeats the whole":  {next: []modeltest.Behaviour{{Raw: "data: {\"choices\":[{\"delta\":{\"content\":\"fine\"}}]}\n\ndata: {\"choices\":[{\"finish_reason\":\"stop\",\"message\":{\"content\":\"fine\"}}]}\n\n"}}, models: "first", text: "fine"},
		"a stream cut off":                 {next: []modeltest.Behaviour{{Raw: "data: {\"choices\":[{\"delta\":{\"content\":\"fi\"}}]}\n\n"}}, models: "first first", text: "You said: hello, my private words"},
		"an error in a stream":             {next: []modeltest.Behaviour{{Raw: "data: {\"choices\":[{\"delta\":{\"content\":\"fi\"}}]}\n\ndata: {\"error\":{\"code\":503}}\n\ndata: [DONE]\n\n"}}, models: "first first", text: "You said: hello, my private words"},
		"a key's error within 200":         {next: []modeltest.Behaviour{{Raw: `{"error":{"message":"x","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`}}, models: "first second", text: "You said: hello, my private words"},
		"MiniMax's flags, and no answer":   {next: []modeltest.Behaviour{{Raw: `{"choices":[{"finish_reason":"stop","index":0,"message":{"content":"","role":"assistant","name":"MiniMax AI","audio_content":""}}],"input_sensitive":false,"output_sensitive":true,"output_sensitive_type":2,"base_resp":{"status_code":0,"status_msg":""}}`}}, models: "first", err: bot.ErrRefused},
		"MiniMax's flags, and an answer":   {next: []modeltest.Behaviour{{Raw: `{"choices":[{"finish_reason":"stop","index":0,"message":{"content":"fine","role":"assistant"}}],"input_sensitive":true,"input_sensitive_type":7,"base_resp":{"status_code":0}}`}}, models: "first", text: "fine"},
		"MiniMax's filter":                 {next: []modeltest.Behaviour{{Raw: `{"base_resp":{"status_code":1027,"status_msg":"x"}}`}}, models: "first", err: bot.ErrRefused},
		"MiniMax busy":                     {next: []modeltest.Behaviour{{Raw: `{"base_resp":{"status_code":1002}}`}}, models: "first first", text: "You said: hello, my private words"},
		"MiniMax's key":                    {next: []modeltest.Behaviour{{Raw: `{"base_resp":{"status_code":1004}}`}}, models: "first second", text: "You said: hello, my private words"},
		"MiniMax well":                     {next: []modeltest.Behaviour{{Raw: `{"choices":[{"message":{"content":"fine"}}],"base_resp":{"status_code":0}}`}}, models: "first", text: "fine"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.server.Next(tt.next...)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			text, err := complete(b.model(nil), ctx)
			if text != tt.text || !errors.Is(err, tt.err) {
				t.Errorf("%q, %v", text, err)
			}
			var models []string
			for _, a := range b.server.Asked() {
				models = append(models, a.Model)
			}
			if got := strings.Join(models, " "); got != tt.models {
				t.Errorf("asked %s, want %s", got, tt.models)
			}
			if tt.slept != nil && !slices.Equal(b.slept, tt.slept) {
				t.Errorf("slept %v, want %v", b.slept, tt.slept)
			}
		})
	}
}

// TestThoughts: what a model thinks aloud reaches nobody, however it is marked,
// and an answer about the marks stays whole.
// TestNothingToContinue: a model that is asked to continue an answer may find that
// nothing is missing. One that was cut short, or is asked anew, may not be silent.
func TestNothingToContinue(t *testing.T) {
	for raw, want := range map[string]bool{
		`{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}`:                               true,
		`{"choices":[{"message":{"content":" \n"},"finish_reason":"stop"}]}`:                            true,
		`{"choices":[{"message":{"content":""},"finish_reason":"length"}]}`:                             false,
		`{"choices":[{"message":{"content":""},"finish_reason":"content_filter"}]}`:                     false,
		`{"choices":[{"message":{"content":"<think>it is all there</think>"},"finish_reason":"stop"}]}`: false,
	} {
		b := newBench(t)
		b.server.Always(func(modeltest.Asked) modeltest.Behaviour { return modeltest.Behaviour{Raw: raw} })
		reply, err := b.model(nil).Ask(t.Context(), bot.Question{Turns: hello, Begun: "It is all said."}, nil)
		if (err == nil) != want || strings.TrimSpace(reply.Text) != "" {
			t.Errorf("%s: %+v, %v", raw, reply, err)
		}
	}
}

func TestThoughts(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"opened in the prompt":          {"plan...\n</think>\n\nHello!", "Hello!"},
		"opened in the prompt, no line": {"so I greet</think>Hello!", "Hello!"},
		"thinking":                      {"<thinking>hm</thinking>Hello!", "Hello!"},
		"attributes":                    {`<think type="x">hm</think>Hello!`, "Hello!"},
		"capitals":                      {"<Think>hm</THINK>\nHello!", "Hello!"},
		"a prefix":                      {"<seed:think>hm</seed:think>Hello!", "Hello!"},
		"Kimi":                          {"◁think▷hm◁/think▷Hello!", "Hello!"},
		"Magistral":                     {"[THINK]hm[/THINK]Hello!", "Hello!"},
		"two thoughts":                  {"<think>a</think>Hello. <think>b</think>Bye.", "Hello. Bye."},
		"a thought in a thought":        {"<think>a <think>b</think> c</think>Hello!", "Hello!"},
		"code in a thought":             {"<think>```go\nx := `</think>`\n</think>Hello!", "Hello!"},
		"cut off":                       {"Sure.\n<think>and then", "Sure."},
		"harmony":                       {"<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Hello!<|return|>", "Hello!"},
		"harmony with a call":           {"<|start|>assistant<|channel|>commentary to=functions.x <|message|>{}<|call|><|start|>assistant<|channel|>final<|message|>Hello!", "Hello!"},
		"harmony without markers":       {"analysisThe user greets.assistantfinalHello!", "Hello!"},
		"a tag in a sentence":           {"Put a <think> tag before it and a </think> tag after it.", "Put a <think> tag before it and a </think> tag after it."},
		"a tag in quotes":               {`Close it with "</think>", then answer.`, `Close it with "</think>", then answer.`},
		"a tag in code":                 {"Write `<think>` first.", "Write `<think>` first."},
		"tags in a block":               {"Like this:\n```\n<think>\nhm\n</think>\n```\nDone.", "Like this:\n```\n<think>\nhm\n</think>\n```\nDone."},
		"a thought, then about the tag": {"<think>easy</think>Use the <think> tag to start.", "Use the <think> tag to start."},
		"about harmony":                 {"The marker `<|channel|>` names a channel.", "The marker `<|channel|>` names a channel."},
		"analysis is a word":            {"analysis is what I do", "analysis is what I do"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.server.Next(modeltest.Behaviour{Text: tt.text})
			if text, err := complete(b.model(nil), t.Context()); err != nil || text != tt.want {
				t.Errorf("%q, %v; want %q", text, err, tt.want)
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	b := newBench(t)
	b.server.Always(func(modeltest.Asked) modeltest.Behaviour {
		return modeltest.Behaviour{Status: 500, Code: "server_error"}
	})
	m := b.model(nil)
	_, err := complete(m, t.Context())
	if err == nil || strings.Contains(err.Error(), "private") || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "server_error") {
		t.Errorf("%v, want the code and nothing of what was said", err)
	}
	for range 5 {
		_, _ = complete(m, t.Context())
	}
	if n := len(b.server.Asked()); n > 12 {
		t.Errorf("asked %d times although each failed", n)
	}
	// Later it is tried again.
	b.server.Always(nil)
	b.now = b.now.Add(time.Minute)
	if _, err := complete(m, t.Context()); err != nil {
		t.Error(err)
	}
}

func TestHanging(t *testing.T) {
	b := newBench(t)
	b.server.Next(modeltest.Behaviour{Hang: true})
	m := b.model(func(c *openai.Config) { c.Try = 50 * time.Millisecond })
	if text, err := complete(m, t.Context()); err != nil || text == "" {
		t.Errorf("%q, %v; want the answer of the second try", text, err)
	}
	b.server.Always(func(modeltest.Asked) modeltest.Behaviour { return modeltest.Behaviour{Hang: true} })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := complete(m, ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want %v", err, context.DeadlineExceeded)
	}
}

func TestWrongSettings(t *testing.T) {
	for _, c := range []openai.Config{{Models: []string{"m"}}, {URL: "http://127.0.0.1:1"}, {URL: "nonsense", Models: []string{"m"}}} {
		if _, err := openai.New(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

// FuzzAnswer: whatever the API answers, no thought gets out and nothing panics.
func FuzzAnswer(f *testing.F) {
	f.Add(`{"choices":[{"message":{"content":"<think>a</think>b"}}]}`)
	f.Add(`{"base_resp":{"status_code":1002}}`)
	f.Add(`{"error":{"code":7}}`)
	f.Add("data: {\"choices\":[{\"delta\":{\"content\":\"x</think>y\"}}]}\n\ndata: [DONE]\n\n")
	f.Add(`{"choices":[{"message":{"content":[{"type":"text","text":"<thinking>a"}],"refusal":0},"finish_reason":["x"]}]}`)
	f.Fuzz(func(t *testing.T, raw string) {
		b := newBench(t)
		b.server.Always(func(modeltest.Asked) modeltest.Behaviour { return modeltest.Behaviour{Raw: raw} })
		text, err := complete(b.model(func(c *openai.Config) { c.Models = c.Models[:1] }), t.Context())
		if err == nil && raw != "" && (text == "" || strings.HasPrefix(text, "<think>") || strings.HasPrefix(text, "</think>")) {
			t.Errorf("%q is no answer, or has a thought in it", text)
		}
	})
}
