package openai

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/bot"
)

// A completion is read for the few things that are needed. Providers differ in
// the rest: whatever has an unexpected type is passed over, so that one odd
// field does not void an answer.
type completion struct {
	Choices []choice `json:"choices"`
	Error   apiError `json:"error"`
	Usage   usage    `json:"usage"`
	Reply   word     `json:"reply"` // of MiniMax's own completions, where nothing else is
	// vLLM puts the fields of an error on the top level, also with status 200.
	Object  word `json:"object"`
	Code    word `json:"code"`
	Type    word `json:"type"`
	Message word `json:"message"`
	// MiniMax reports errors with status 200 and this, and what its filters found.
	BaseResp struct {
		StatusCode word `json:"status_code"`
	} `json:"base_resp"`
	InputSensitive  flag `json:"input_sensitive"`
	OutputSensitive flag `json:"output_sensitive"`
}

// failure is the body of an answer other than 200. Google puts it into a list;
// vLLM and Alibaba put the fields of the error on the top level.
type failure struct{ apiError }

func (f *failure) UnmarshalJSON(data []byte) error {
	var list []json.RawMessage
	if json.Unmarshal(data, &list) == nil && len(list) > 0 {
		data = list[0]
	}
	var wrapped struct {
		Error apiError `json:"error"`
	}
	_ = json.Unmarshal(data, &wrapped) // what is readable of it
	f.apiError = wrapped.Error
	if f.there {
		return nil
	}
	return f.apiError.UnmarshalJSON(data)
}

type choice struct {
	Message message  `json:"message"`
	Delta   message  `json:"delta"` // instead of Message, in a stream
	Finish  word     `json:"finish_reason"`
	Error   apiError `json:"error"`
}

type message struct {
	Content content    `json:"content"`
	Refusal word       `json:"refusal"`
	Calls   []callPart `json:"tool_calls"`
}

func (m *message) empty() bool { return m.Content == content{} && m.Refusal == "" && len(m.Calls) == 0 }

// callPart is a call of a tool, or in a stream a piece of one: pieces with the
// same index belong together.
type callPart struct {
	Index    *int `json:"index"`
	ID       word `json:"id"`
	Function struct {
		Name      word      `json:"name"`
		Arguments arguments `json:"arguments"`
	} `json:"function"`
}

// arguments are JSON in a text, or the object itself.
type arguments string

func (a *arguments) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*a = arguments(text)
	} else if data[0] == '{' {
		*a = arguments(data)
	}
	return nil
}

// usage is what an answer cost. Malformed numbers count as unknown.
type usage struct {
	Prompt count `json:"prompt_tokens"`
	Answer count `json:"completion_tokens"`
	Total  count `json:"total_tokens"`
}

type count int

func (c *count) UnmarshalJSON(data []byte) error {
	var n float64
	if json.Unmarshal(data, &n) == nil && n > 0 && n < 1<<31 {
		*c = count(n)
	}
	return nil
}

// content is a text, or a list of parts of which those that are texts count.
type content struct{ text, refusal string }

func (c *content) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		c.text = text
		return nil
	}
	var parts []json.RawMessage
	if json.Unmarshal(data, &parts) != nil {
		return nil
	}
	for _, data := range parts {
		var part struct {
			Type, Text, Refusal word
		}
		switch {
		case json.Unmarshal(data, &text) == nil:
			c.text += text
		case json.Unmarshal(data, &part) != nil:
		case part.Type == "" || part.Type == "text" || part.Type == "output_text":
			c.text += string(part.Text)
		case part.Type == "refusal":
			c.refusal += string(part.Refusal)
		}
	}
	return nil
}

// flag is true or not; anything else is false.
type flag bool

func (f *flag) UnmarshalJSON(data []byte) error {
	*f = string(data) == "true"
	return nil
}

// word is a text or a number; anything else is "".
type word string

func (w *word) UnmarshalJSON(data []byte) error {
	var text string
	var number json.Number
	switch {
	case data[0] == '"' && json.Unmarshal(data, &text) == nil:
		*w = word(text)
	case data[0] != '"' && json.Unmarshal(data, &number) == nil:
		*w = word(number)
	}
	return nil
}

// apiError is an object, a text, or one of the ways to say that there is none:
// null, false, "", {}.
type apiError struct {
	there      bool
	code, kind string // as sent; they name no user and quote nothing
	refused    bool   // by a content check
}

func (e *apiError) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		e.there, e.refused = text != "", isRefusal(text)
		return nil
	}
	var object struct {
		Code    word `json:"code"`
		Type    word `json:"type"`
		Message word `json:"message"`
		Inner   struct {
			Code word `json:"code"`
		} `json:"innererror"`
	}
	if json.Unmarshal(data, &object) != nil {
		e.there = data[0] == '['
		return nil
	}
	e.code, e.kind = string(object.Code), string(object.Type)
	e.there = e.code != "" || e.kind != "" || object.Message != ""
	e.refused = isRefusal(e.code) || isRefusal(e.kind) || isRefusal(string(object.Inner.Code)) ||
		// DeepSeek has no code of its own for it.
		object.Message == "Content Exists Risk"
	return nil
}

// refusals are what providers call it when their content check objects to a
// prompt or to an answer, as error code, error type or finish reason, without
// case and separators: OpenAI and Azure content_filter, content_policy_violation,
// ResponsibleAIPolicyViolation; Alibaba data_inspection_failed; Zhipu and Hunyuan
// sensitive; Volcano InputTextSensitiveContentDetected; Google SAFETY,
// PROHIBITED_CONTENT; elsewhere refusal; StepFun censorship_blocked.
var refusals = []string{
	"contentfilter", "contentpolicy", "contentmoderation", "contentaudit", "moderationblocked", "flagged", "sensitive",
	"datainspection", "responsibleai", "safety", "prohibitedcontent", "censorship", "refusal",
}

// zhipuSensitive is Zhipu's number for the same.
const zhipuSensitive = "1301"

func isRefusal(word string) bool {
	folded := strings.Map(func(r rune) rune {
		switch {
		case r == '_' || r == '-' || r == ' ' || r == '.':
			return -1
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return r
	}, word)
	if folded == zhipuSensitive {
		return true
	}
	for _, known := range refusals {
		if strings.Contains(folded, known) {
			return true
		}
	}
	return false
}

// gathered is what is known of an answer so far.
type gathered struct {
	text    strings.Builder
	calls   []bot.Call
	index   []int // of the calls, in the stream
	usage   usage
	finish  string
	refused bool
	// sensitive: a filter of the provider's objects, to all of it where nothing is
	// left.
	sensitive bool
	done      bool // by [DONE]
	thinking  bool // the text may hold marks of thoughts
	// continues: the text continues another, and its first space counts.
	continues bool
	said      string
}

// reply is what was said, or of an answer that failed, what was heard. What the
// model does not say about its cost is estimated.
func (g *gathered) reply(q bot.Question, heard string, err error) bot.Reply {
	if g.free(err) {
		return bot.Reply{}
	}
	r := bot.Reply{Text: g.said, Calls: g.calls, Usage: bot.Usage{Prompt: int(g.usage.Prompt), Answer: int(g.usage.Answer)}}
	if r.Text == "" {
		r.Text = heard
	} else if start := strings.TrimLeft(g.text.String(), " \n\t"); q.Begun != "" && len(start) < g.text.Len() {
		r.Text = " " + r.Text // the space between two words
	}
	if r.Usage.Answer == 0 && g.text.Len() > 0 {
		r.Usage.Answer = bot.Tokens(g.text.String())
	}
	if r.Usage.Prompt == 0 && g.usage.Total > 0 {
		r.Usage.Prompt = max(int(g.usage.Total)-r.Usage.Answer, 0)
	}
	if r.Usage.Prompt == 0 {
		for _, t := range q.Turns {
			r.Usage.Prompt += bot.Tokens(t.Text)
		}
		if q.Begun != "" {
			r.Usage.Prompt += bot.Tokens(q.Begun)
		}
	}
	return r
}

// read takes the body of an answer with status 200: a JSON document, or a stream
// of server-sent events although none was asked for.
func (g *gathered) read(body []byte) error {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff")))
	if isStream(body) {
		if err := g.listen(bufio.NewReader(bytes.NewReader(body)), func() {}); err != nil {
			return err
		}
		return g.end()
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	var out completion
	if err := tolerate(decoder.Decode(&out)); err != nil {
		return errors.New("the answer is not JSON")
	}
	if rest := strings.TrimSpace(string(body[decoder.InputOffset():])); rest != "" && rest != "data: [DONE]" && rest != "[DONE]" {
		return errors.New("the answer is JSON and something else")
	}
	if err := out.err(); err != nil {
		return err
	}
	g.usage = out.Usage
	if len(out.Choices) == 0 && out.Reply != "" {
		out.Choices = []choice{{Message: message{Content: content{text: string(out.Reply)}}}}
	}
	if len(out.Choices) == 0 {
		return errors.New("the answer has no choices")
	}
	c := out.Choices[0]
	g.take(&c.Message)
	g.sensitive = bool(out.InputSensitive || out.OutputSensitive)
	g.finish, g.done = string(c.Finish), true
	return g.end()
}

// take adds a message, or a piece of one.
func (g *gathered) take(m *message) {
	g.text.WriteString(m.Content.text)
	g.refused = g.refused || m.Refusal != "" || m.Content.refusal != ""
	if strings.ContainsAny(m.Content.text, "<◁[") {
		g.thinking = true
	}
	for n, p := range m.Calls {
		at := n
		if p.Index != nil {
			at = *p.Index
		}
		i := slices.Index(g.index, at)
		// Some servers number every call 0 and tell them apart by their ids.
		if i < 0 || p.ID != "" && g.calls[i].ID != "" && g.calls[i].ID != string(p.ID) {
			if i = slices.IndexFunc(g.calls, func(c bot.Call) bool { return p.ID != "" && c.ID == string(p.ID) }); i < 0 {
				if len(g.calls) == maxCalls {
					continue
				}
				for k := range g.index { // the pieces to come belong to this one
					if g.index[k] == at {
						g.index[k] = -1
					}
				}
				g.calls, g.index = append(g.calls, bot.Call{}), append(g.index, at)
				i = len(g.calls) - 1
			}
		}
		c := &g.calls[i]
		if p.ID != "" {
			c.ID = string(p.ID)
		}
		if c.Name == "" {
			c.Name = string(p.Function.Name)
		}
		c.Arguments += string(p.Function.Arguments)
	}
}

// maxCalls bounds the calls of one answer.
const maxCalls = 16

// end is what the whole answer comes to.
func (g *gathered) end() error {
	g.calls = slices.DeleteFunc(g.calls, func(c bot.Call) bool { return c.Name == "" })
	for i := range g.calls {
		if g.calls[i].ID == "" {
			g.calls[i].ID = "call_" + strconv.Itoa(i)
		}
	}
	if !g.done && g.finish == "" {
		return errors.New("the answer was cut off: its stream does not end")
	}
	refused := g.refused || g.sensitive && strings.TrimSpace(g.text.String()) == ""
	text, err := said(g.text.String(), g.finish, refused)
	if g.continues && !refused && !isRefusal(g.finish) && g.finish != "length" && strings.TrimSpace(g.text.String()) == "" {
		text, err = "", nil // there was nothing left to say
	}
	if err != nil && len(g.calls) > 0 && !errors.Is(err, bot.ErrRefused) {
		text, err = "", nil // it wants to know something first
	}
	g.said = text
	return err
}

// visible is what people may read of a stream that goes on: not what may be the
// start of a mark that begins or ends a thought.
func (g *gathered) visible() string {
	text := g.text.String()
	if strings.HasPrefix(text, "analysis") && !strings.Contains(text, "assistantfinal") {
		return "" // harmony's channels, whose markers the server dropped
	}
	if !g.thinking {
		if g.continues {
			return text
		}
		return strings.TrimLeft(text, " \n\t\r")
	}
	if at := strings.LastIndexAny(text, "<◁["); at >= 0 && len(text)-at < longestTag && !strings.ContainsAny(text[at:], ">▷]\n") {
		text = text[:at]
	}
	return withoutThoughts(text)
}

// longestTag is how long the mark of a thought may be, in bytes.
const longestTag = 60

// tolerate is nil for a field of an unexpected type, which the decoder has left
// as it was.
func tolerate(err error) error {
	if _, is := errors.AsType[*json.UnmarshalTypeError](err); is {
		return nil
	}
	return err
}

func isStream(body []byte) bool {
	for _, field := range []string{"data:", "event:", "id:", "retry:", ":"} {
		if bytes.HasPrefix(body, []byte(field)) {
			return true
		}
	}
	return false
}

// listen puts the pieces of a stream together, and calls heard after each event.
// The text of a stream that neither names a reason to finish nor ends in [DONE]
// was cut off.
func (g *gathered) listen(from *bufio.Reader, heard func()) error {
	for {
		line, err := from.ReadString('\n')
		if data, is := strings.CutPrefix(strings.TrimSpace(line), "data:"); is {
			if done, failed := g.event(strings.TrimSpace(data)); failed != nil || done {
				return failed
			}
		}
		heard()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("the answer was cut off: %w", err)
		}
	}
}

// event takes one event of a stream.
func (g *gathered) event(data string) (done bool, err error) {
	switch data {
	case "":
		return false, nil
	case "[DONE]":
		g.done = true
		return true, nil
	}
	var event completion
	if tolerate(json.Unmarshal([]byte(data), &event)) != nil {
		return false, errors.New("the stream has an event that is not JSON")
	}
	if err := event.err(); err != nil {
		return false, err
	}
	if event.Usage != (usage{}) {
		g.usage = event.Usage // of all so far, in the last event or in each
	}
	if len(event.Choices) == 0 {
		return false, nil // the usage, or a sign of life
	}
	g.sensitive = g.sensitive || bool(event.InputSensitive || event.OutputSensitive)
	c := event.Choices[0]
	switch {
	case !c.Delta.empty():
		g.take(&c.Delta)
	case !c.Message.empty(): // the whole at the end, as MiniMax repeats it
		g.text.Reset()
		g.calls, g.index = nil, nil
		g.take(&c.Message)
	}
	if c.Finish != "" {
		g.finish = string(c.Finish)
	}
	return false, nil
}

// err is the error that an answer with status 200 reports.
func (c *completion) err() error {
	if code := string(c.BaseResp.StatusCode); code != "" && code != "0" {
		return miniMax(code)
	}
	failed := c.Error
	if !failed.there && c.Object == "error" {
		failed = apiError{there: true, code: string(c.Code), kind: string(c.Type), refused: isRefusal(string(c.Code)) || isRefusal(string(c.Type))}
	}
	if !failed.there && len(c.Choices) > 0 {
		failed = c.Choices[0].Error
	}
	switch {
	case !failed.there:
		return nil
	case failed.refused:
		return bot.ErrRefused
	}
	status := http.StatusInternalServerError
	// Some gateways repeat the status of the provider behind them as the code; others
	// send the provider's error as it was.
	if n, err := strconv.Atoi(failed.code); err == nil && n >= 400 && n < 600 {
		status = n
	} else if failed.kind == "invalid_request_error" || failed.kind == "authentication_error" {
		status = http.StatusBadRequest // no waiting helps
	}
	return &statusError{status: status, code: failed.name()}
}

// name is what the error is called in a log: its code, or its type.
func (e apiError) name() string {
	if e.code != "" {
		return e.code
	}
	return e.kind
}

// said returns what is for the user of a model's text. A text without anything
// for the user is a failure.
func said(text, finish string, refused bool) (string, error) {
	if refused || isRefusal(finish) {
		return "", bot.ErrRefused
	}
	out := withoutThoughts(text)
	switch {
	case out != "":
		return out, nil
	case finish == "length":
		return "", errors.New("the answer ended within a thought: the model needs more tokens")
	case strings.TrimSpace(text) != "":
		return "", errors.New("the answer is nothing but thoughts")
	}
	return "", errors.New("the answer is empty")
}

// statusError is an answer that reports an error. The API's own sentence may
// quote the conversation and is left out.
type statusError struct {
	status int
	code   string
	after  time.Duration // Retry-After
}

func (e *statusError) Error() string {
	if e.code == "" {
		return "status " + strconv.Itoa(e.status)
	}
	return fmt.Sprintf("status %d, code %s", e.status, e.code)
}

// passing reports whether a retry may succeed.
func (e *statusError) passing() bool {
	return e.status == http.StatusTooManyRequests || e.status == http.StatusRequestTimeout || e.status >= 500
}

// refusesStreams reports whether a server may have objected to being asked for a
// stream: it says that the request is wrong, and nothing more of use.
func (e *statusError) refusesStreams() bool {
	return e.status == http.StatusBadRequest || e.status == http.StatusUnprocessableEntity || e.status == http.StatusNotImplemented
}

// miniMax reads MiniMax's error codes: too many requests, a timeout or trouble
// of its own pass; its filters refuse what was asked or what it would say.
func miniMax(code string) error {
	switch code {
	case "1026", "1027":
		return bot.ErrRefused
	case "1000", "1001", "1013", "1033":
		return &statusError{status: http.StatusServiceUnavailable, code: code}
	case "1002", "1039":
		return &statusError{status: http.StatusTooManyRequests, code: code}
	}
	return &statusError{status: http.StatusBadRequest, code: code}
}
