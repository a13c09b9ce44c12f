package openai_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/bot"
	"github.com/backchannel-im/backchannel/shared/bot/openai"
)

// What servers send whose code is not ours, as their documentation and issue
// trackers show it: bodies are written out, with their line ends.
var backends = []struct {
	name   string
	stream string // body of a stream
	text   string
	usage  bot.Usage
	calls  []bot.Call
	fails  bool
}{
	{
		name: "OpenAI",
		stream: `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt","system_fingerprint":"fp","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt","choices":[{"index":0,"delta":{"content":" there"},"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt","choices":[],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":0}}}

data: [DONE]

`,
		text: "Hello there", usage: bot.Usage{Prompt: 19, Answer: 10},
	},
	{
		name: "OpenAI, two tools in pieces",
		stream: `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"look","arguments":""}}]},"finish_reason":null}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"q\""}}]},"finish_reason":null}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_b","type":"function","function":{"name":"see","arguments":"{}"}}]},"finish_reason":null}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]},"finish_reason":null}]}

data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}

data: [DONE]

`,
		calls: []bot.Call{{ID: "call_a", Name: "look", Arguments: `{"q":1}`}, {ID: "call_b", Name: "see", Arguments: "{}"}},
		usage: bot.Usage{Prompt: 19},
	},
	{
		name: "OpenAI: everything null in the last piece, and a call that ends with stop",
		stream: `data: {"id":"chatcmpl-2","object":"chat.completion.chunk","model":"gpt-4o","choices":[{"index":0,"delta":{"role":"assistant","content":null,"function_call":null,"refusal":null,"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"look","arguments":"{}"}}]},"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-2","object":"chat.completion.chunk","model":"gpt-4o","choices":[{"index":0,"delta":{"content":null,"function_call":null,"refusal":null,"role":null,"tool_calls":null},"finish_reason":"stop","logprobs":null}],"usage":null}

data: [DONE]

`,
		calls: []bot.Call{{ID: "call_a", Name: "look", Arguments: "{}"}}, usage: bot.Usage{Prompt: 19},
	},
	{
		name: "Ollama in 2024: an empty reason to finish in each piece",
		stream: `data: {"id":"chatcmpl-693","object":"chat.completion.chunk","created":1715427619,"model":"mistral:latest","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":""}]}

data: {"id":"chatcmpl-693","object":"chat.completion.chunk","created":1715427619,"model":"mistral:latest","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":" you"},"finish_reason":""}]}

data: {"id":"chatcmpl-693","object":"chat.completion.chunk","created":1715427619,"model":"mistral:latest","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"stop"}]}

data: [DONE]

`,
		text: "Hi you", usage: bot.Usage{Prompt: 19, Answer: 6},
	},
	{
		name:   "a gateway: the provider's error as a stream",
		stream: "data: {\"error\":{\"message\":\"Incorrect API key provided.\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"invalid_api_key\"}}\n\n",
		fails:  true,
	},
	{
		name: "vLLM: null content, usage in each event, reasoning apart",
		stream: `data: {"id":"cmpl","object":"chat.completion.chunk","model":"q","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":{"prompt_tokens":7,"total_tokens":7,"completion_tokens":0}}

data: {"id":"cmpl","choices":[{"index":0,"delta":{"reasoning_content":"I think","content":null},"finish_reason":null,"stop_reason":null}],"usage":{"prompt_tokens":7,"total_tokens":8,"completion_tokens":1}}

data: {"id":"cmpl","choices":[{"index":0,"delta":{"content":"Hi."},"finish_reason":"stop","stop_reason":null}],"usage":{"prompt_tokens":7,"total_tokens":9,"completion_tokens":2}}

data: {"id":"cmpl","choices":[],"usage":{"prompt_tokens":7,"total_tokens":9,"completion_tokens":2}}

data: [DONE]
`,
		text: "Hi.", usage: bot.Usage{Prompt: 7, Answer: 2},
	},
	{
		name:   "vLLM: an error within 200",
		stream: "data: {\"object\":\"error\",\"message\":\"engine is dead\",\"type\":\"InternalServerError\",\"param\":null,\"code\":500}\n\ndata: [DONE]\n\n",
		fails:  true,
	},
	{
		name: "Ollama: no index, arguments whole, no [DONE]",
		stream: `data: {"id":"chatcmpl-9","object":"chat.completion.chunk","model":"llama","choices":[{"index":0,"delta":{"role":"assistant","content":"","tool_calls":[{"id":"call_x","type":"function","function":{"name":"look","arguments":"{\"q\":\"a\"}"}}]},"finish_reason":null}]}

data: {"id":"chatcmpl-9","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"tool_calls"}]}

`,
		calls: []bot.Call{{ID: "call_x", Name: "look", Arguments: `{"q":"a"}`}}, usage: bot.Usage{Prompt: 19},
	},
	{
		name:   "Ollama: an error in words",
		stream: "data: {\"error\":\"model requires more system memory\"}\n\n",
		fails:  true,
	},
	{
		name: "LiteLLM: comments, CRLF, an empty choice list first",
		stream: strings.ReplaceAll(`: keep-alive

data: {"id":"x","created":1,"model":"m","object":"chat.completion.chunk","choices":[]}

data: {"id":"x","choices":[{"index":0,"delta":{"content":"Fine","role":"assistant"}}]}

: keep-alive

data: {"id":"x","choices":[{"finish_reason":"stop","index":0,"delta":{}}]}

data: [DONE]

`, "\n", "\r\n"),
		text: "Fine", usage: bot.Usage{Prompt: 19, Answer: 6},
	},
	{
		name: "LiteLLM: an error in the middle",
		stream: `data: {"choices":[{"index":0,"delta":{"content":"Half an"}}]}

data: {"error":{"message":"litellm.APIConnectionError","type":"None","param":"None","code":"500"}}

`,
		text: "Half an", fails: true,
	},
	{
		name: "MiniMax: thoughts in the content, the whole at the end, base_resp",
		stream: `data: {"id":"1","choices":[{"index":0,"delta":{"content":"<think>hm","role":"assistant"}}],"created":1,"model":"MiniMax-M2","object":"chat.completion.chunk","usage":null}

data: {"id":"1","choices":[{"index":0,"delta":{"content":"</think>\n\nHello","role":"assistant"}}]}

data: {"id":"1","choices":[{"finish_reason":"stop","index":0,"message":{"content":"<think>hm</think>\n\nHello","role":"assistant"}}],"usage":{"total_tokens":30},"base_resp":{"status_code":0,"status_msg":""}}

`,
		text: "Hello", usage: bot.Usage{Prompt: 18, Answer: 12},
	},
	{
		name:   "MiniMax: an error with status 200",
		stream: `{"id":"","choices":null,"base_resp":{"status_code":1002,"status_msg":"rate limit"}}`,
		fails:  true,
	},
	{
		name: "Hunyuan: note and moderation level beside the choices",
		stream: `data: {"id":"h","object":"chat.completion.chunk","model":"hunyuan-turbos-latest","system_fingerprint":"","note":"以上内容为AI生成","choices":[{"index":0,"delta":{"role":"assistant","content":"你好"},"finish_reason":""}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}

data: {"id":"h","choices":[{"index":0,"delta":{"role":"assistant","content":"！"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}

data: [DONE]

`,
		text: "你好！", usage: bot.Usage{Prompt: 3, Answer: 2},
	},
	{
		name:   "plain JSON in answer to a stream request",
		stream: `{"choices":[{"index":0,"message":{"role":"assistant","content":"Whole."},"finish_reason":"stop"}],"usage":{"prompt_tokens":4,"completion_tokens":1}}`,
		text:   "Whole.", usage: bot.Usage{Prompt: 4, Answer: 1},
	},
	{
		name:   "a stream that is cut",
		stream: "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Half\"}}]}\n\n",
		text:   "Half", fails: true,
	},
}

// TestBackends: streams of servers that people run are read, whatever they do
// differently.
func TestBackends(t *testing.T) {
	for _, tt := range backends {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tt.stream) }))
			defer server.Close()
			m, err := openai.New(openai.Config{URL: server.URL, Models: []string{"m"}, Sleep: noSleep})
			if err != nil {
				t.Fatal(err)
			}
			var heard []string
			reply, err := m.Ask(t.Context(), bot.Question{Turns: hello, Tools: []bot.ToolSpec{{Name: "look", Description: "x", Parameters: []byte(`{"type":"object"}`)}}}, func(text string) { heard = append(heard, text) })
			if (err != nil) != tt.fails {
				t.Fatalf("%v", err)
			}
			if reply.Text != tt.text || !slices.Equal(reply.Calls, tt.calls) {
				t.Errorf("%q, %+v", reply.Text, reply.Calls)
			}
			if !tt.fails && reply.Usage != tt.usage {
				t.Errorf("usage %+v, want %+v", reply.Usage, tt.usage)
			}
			for _, text := range heard {
				if !strings.HasPrefix(tt.text, text) {
					t.Errorf("heard %q", text)
				}
			}
		})
	}
}

// TestNativeMiniMax: the scenario guide's own back end.
func TestNativeMiniMax(t *testing.T) {
	var asked string
	answers := []string{`{"reply":"nice to meet you","base_resp":{"status_code":0}}`, `{"reply":"","base_resp":{"status_code":1026}}`, `{"reply":""}`}
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = r.URL.Path + " " + r.Header.Get("Authorization") + " " + string(body)
		_, _ = io.WriteString(w, answers[min(n, len(answers)-1)])
	}))
	defer server.Close()
	m, err := openai.New(openai.Config{URL: server.URL + "/v1", Path: "/text/completion", Key: "k", Models: []string{"abab5-completion"}, MaxTokens: 9, Sleep: noSleep})
	if err != nil {
		t.Fatal(err)
	}
	heard := 0
	q := bot.Question{Turns: append(slices.Clone(hello), bot.Turn{Role: bot.Assistant, Text: "hi"}, bot.Turn{Role: bot.User, Text: "and?"})}
	reply, err := m.Ask(t.Context(), q, func(string) { heard++ })
	if err != nil || reply.Text != "nice to meet you" || reply.Usage == (bot.Usage{}) {
		t.Errorf("%+v, %v", reply, err)
	}
	want := fmt.Sprintf("/v1/text/completion Bearer k %s", `{"model":"abab5-completion","prompt":"be kind\n\nUser: hello, my private words\nAssistant: hi\nUser: and?\nAssistant:","tokens_to_generate":9}`)
	if asked != want {
		t.Errorf("asked %s\nwant %s", asked, want)
	}
	n = 1
	if _, err := m.Ask(t.Context(), q, nil); !errors.Is(err, bot.ErrRefused) {
		t.Errorf("a refusal: %v", err)
	}
	n = 2
	if _, err := m.Ask(t.Context(), q, nil); err == nil {
		t.Error("an empty reply is an answer")
	}
}

func noSleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }
