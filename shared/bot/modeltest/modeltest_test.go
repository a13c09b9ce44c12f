package modeltest_test

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"

	"github.com/backchannel-im/backchannel/shared/bot/modeltest"
)

// TestForeignClient: OpenAI's own library reads whole answers, streams, calls of
// tools and errors of the fake as it reads those of a model.
func TestForeignClient(t *testing.T) {
	if testing.Short() {
		t.Skip("Node.js is not part of -short")
	}
	const folder = "../../../scripts/node"
	if _, err := os.Stat(folder + "/node_modules/openai"); err != nil {
		t.Fatalf("the npm packages are missing: npm ci --prefix scripts/node (%v)", err)
	}
	model := &modeltest.Server{}
	model.Always(func(a modeltest.Asked) modeltest.Behaviour {
		switch a.Last() {
		case "fail":
			return modeltest.Behaviour{Status: 429, Code: "rate_limit_exceeded"}
		case "look":
			return modeltest.Behaviour{Text: "One moment.", Calls: []modeltest.Call{{ID: "call_1", Name: "look", Arguments: `{"q":"a page"}`}, {ID: "call_2", Name: "look", Arguments: "{}"}}}
		}
		return modeltest.Behaviour{}
	})
	web := httptest.NewServer(model)
	defer web.Close()
	cmd := exec.CommandContext(t.Context(), "node", "model.cjs", web.URL+"/v1")
	cmd.Dir, cmd.Stderr = folder, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	type failure struct {
		Status     int
		Code, Type string
	}
	type found struct {
		Object, Model, Text, Parts, Streamed string
		Calls, StreamedCalls                 string
		Total, StreamTotal, Pieces           int
		Failed                               failure
	}
	var got found
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	const calls = `tool_calls: call_1 function look({"q":"a page"}), call_2 function look({})`
	want := found{
		Calls: calls, StreamedCalls: calls,
		Object: "chat.completion", Model: "m", Text: "You said: hello there", Parts: "You said: in parts", Streamed: "You said: hello there",
		Total: 6, StreamTotal: 6, Pieces: 6, Failed: failure{429, "rate_limit_exceeded", "rate_limit_error"},
	}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
