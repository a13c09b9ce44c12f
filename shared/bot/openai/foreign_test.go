package openai_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/bot"
	"github.com/backchannel-im/backchannel/shared/bot/openai"
)

// foreign starts scripts/node/aimock.cjs, a model server by others. end stops it and
// returns the bodies of the requests that it got.
func foreign(t *testing.T) (url string, end func() []map[string]any) {
	t.Helper()
	if testing.Short() {
		t.Skip("Node.js is not part of -short")
	}
	const folder = "../../../scripts/node"
	if _, err := os.Stat(folder + "/node_modules/@copilotkit/aimock"); err != nil {
		t.Fatalf("the npm packages are missing: npm ci --prefix scripts/node (%v)", err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "aimock.cjs")
	cmd.Dir, cmd.Stderr = folder, os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(output)
	url, err = lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(url), func() []map[string]any {
		t.Helper()
		if err := input.Close(); err != nil {
			t.Fatal(err)
		}
		said, err := io.ReadAll(lines)
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		var bodies []map[string]any
		if err := json.Unmarshal(said, &bodies); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		return bodies
	}
}

// TestForeignServer: a model server whose code is not ours answers what we ask, in
// pieces and as a whole: text, tools, usage and errors.
func TestForeignServer(t *testing.T) {
	url, end := foreign(t)
	var slept []time.Duration
	m, err := openai.New(openai.Config{URL: url, Key: "k", Models: []string{"gpt-4o"}, MaxTokens: 99, Sleep: func(ctx context.Context, d time.Duration) error {
		slept = append(slept, d)
		return ctx.Err()
	}})
	if err != nil {
		t.Fatal(err)
	}
	tools := []bot.ToolSpec{{Name: "look", Description: "finds a page", Parameters: []byte(`{"type":"object","properties":{"q":{"type":"string"}}}`)}, {Name: "see", Description: "reads it", Parameters: []byte(`{"type":"object"}`)}}
	user := func(text string) []bot.Turn {
		return []bot.Turn{{Role: bot.System, Text: "be kind"}, {Role: bot.User, Text: text}}
	}
	called := []bot.Call{{ID: "call_1", Name: "look", Arguments: `{"q":"the whole page"}`}, {ID: "call_2", Name: "see", Arguments: "{}"}}
	done := append(user("look"), bot.Turn{Role: bot.Assistant, Calls: called}, bot.Turn{Role: bot.ToolRole, CallID: "call_1", Text: "there is"}, bot.Turn{Role: bot.ToolRole, CallID: "call_2", Text: "a page"})
	refused, failed := errors.New("refused"), errors.New("failed")
	questions := []struct {
		name   string
		turns  []bot.Turn
		text   string
		calls  []bot.Call
		usage  bot.Usage // not compared where it is zero
		err    error     // refused, failed or nil
		pieces bool      // heard in pieces only
	}{
		{name: "text", turns: user("hello"), text: "Hello, and welcome: 你好 👋", usage: bot.Usage{Prompt: 19, Answer: 10}},
		{name: "a picture", turns: []bot.Turn{{Role: bot.User, Text: "hello", Images: []string{"https://shop.example/a.png"}}}, text: "Hello, and welcome: 你好 👋"},
		{name: "two tools", turns: user("look"), calls: called, usage: bot.Usage{Prompt: 7, Answer: 5}},
		{name: "what tools found", turns: done, text: "It says so."},
		{name: "text and a tool", turns: user("both"), text: "One moment.", calls: []bot.Call{{ID: "call_3", Name: "look", Arguments: "{}"}}},
		{name: "a wrong key", turns: user("forbidden"), err: failed},
		{name: "a filter", turns: user("filter"), err: refused},
		{name: "a stream that is cut", turns: user("cut"), text: "This goes on and on and on.", err: failed, pieces: true},
		{name: "nothing that it knows", turns: user("nonsense"), err: failed},
	}
	if reply, err := m.Ask(t.Context(), bot.Question{Turns: user("busy")}, nil); err != nil || reply.Text != "Now." || !slices.Equal(slept, []time.Duration{7 * time.Second}) {
		t.Errorf("asked to wait: %+v, %v, waited %v", reply, err, slept)
	}
	for _, q := range questions {
		for _, whole := range []bool{false, true} {
			if whole && q.pieces {
				continue
			}
			var heard []string
			hear := func(text string) { heard = append(heard, text) }
			if whole {
				hear = nil
			}
			reply, err := m.Ask(t.Context(), bot.Question{Turns: q.turns, Tools: tools}, hear)
			switch {
			case q.err == nil && err != nil, q.err != nil && err == nil, q.err == refused != errors.Is(err, bot.ErrRefused):
				t.Errorf("%s: %v, want %v", q.name, err, q.err)
				continue
			case q.err != nil:
				if q.pieces && (len(heard) == 0 || reply.Text != heard[len(heard)-1] || !strings.HasPrefix(q.text, reply.Text)) {
					t.Errorf("%s: %+v, heard %q", q.name, reply, heard)
				}
				continue
			}
			if reply.Text != q.text || !slices.Equal(reply.Calls, q.calls) || q.usage != (bot.Usage{}) && reply.Usage != q.usage {
				t.Errorf("%s: %+v", q.name, reply)
			}
			for i, text := range heard {
				if !strings.HasPrefix(q.text, text) || i > 0 && len(text) <= len(heard[i-1]) {
					t.Errorf("%s: heard %q", q.name, heard)
				}
			}
			if q.text != "" && !whole && (len(heard) < 2 || heard[len(heard)-1] != q.text) {
				t.Errorf("%s: heard %q", q.name, heard)
			}
		}
	}
	asked := end()
	first := asked[2] // after the two of who is busy
	if tools, _ := first["tools"].([]any); first["model"] != "gpt-4o" || first["stream"] != true || first["max_completion_tokens"] != 99.0 || len(tools) != 2 || asked[3]["stream"] != false {
		t.Errorf("asked %v, %v", first, asked[3])
	}
}
