package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
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
	// MiniMax reports errors with status 200 and this.
	BaseResp struct {
		StatusCode word `json:"status_code"`
	} `json:"base_resp"`
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
	Content content `json:"content"`
	Refusal word    `json:"refusal"`
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

// read returns what a model says in the body of an answer with status 200: a
// JSON document, or a stream of server-sent events although none was asked for.
func read(body []byte) (string, error) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff")))
	if isStream(body) {
		return readStream(body)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	var out completion
	if err := tolerate(decoder.Decode(&out)); err != nil {
		return "", errors.New("the answer is not JSON")
	}
	if rest := strings.TrimSpace(string(body[decoder.InputOffset():])); rest != "" && rest != "data: [DONE]" && rest != "[DONE]" {
		return "", errors.New("the answer is JSON and something else")
	}
	if err := out.err(); err != nil {
		return "", err
	}
	if len(out.Choices) == 0 {
		return "", errors.New("the answer has no choices")
	}
	c := out.Choices[0]
	return said(c.Message.Content.text, string(c.Finish), c.Message.Refusal != "" || c.Message.Content.refusal != "")
}

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

// readStream puts the pieces of a stream together. One that neither names a
// reason to finish nor ends in [DONE] was cut off.
func readStream(body []byte) (string, error) {
	var text strings.Builder
	finish, refused, done := "", false, false
	for line := range strings.Lines(string(body)) {
		data, is := strings.CutPrefix(strings.TrimSpace(line), "data:")
		data = strings.TrimSpace(data)
		if !is || data == "" {
			continue
		}
		if data == "[DONE]" {
			done = true
			break
		}
		var event completion
		if tolerate(json.Unmarshal([]byte(data), &event)) != nil {
			return "", errors.New("the stream has an event that is not JSON")
		}
		if err := event.err(); err != nil {
			return "", err
		}
		if len(event.Choices) == 0 {
			continue // the usage, or a sign of life
		}
		c := event.Choices[0]
		switch {
		case c.Delta != message{}:
			text.WriteString(c.Delta.Content.text)
		case c.Message != message{}: // the whole at the end, as MiniMax repeats it
			text.Reset()
			text.WriteString(c.Message.Content.text)
		}
		if c.Finish != "" {
			finish = string(c.Finish)
		}
		refused = refused || c.Delta.Refusal+c.Message.Refusal != "" || c.Delta.Content.refusal+c.Message.Content.refusal != ""
	}
	if !done && finish == "" {
		return "", errors.New("the answer was cut off: its stream does not end")
	}
	return said(text.String(), finish, refused)
}

// err is the error that an answer with status 200 reports.
func (c *completion) err() error {
	if code := string(c.BaseResp.StatusCode); code != "" && code != "0" {
		return miniMax(code)
	}
	failed := c.Error
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
	// Some gateways repeat the status of the provider behind them as the code.
	if n, err := strconv.Atoi(failed.code); err == nil && n >= 400 && n < 600 {
		status = n
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
