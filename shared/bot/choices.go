package bot

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/backchannel-im/backchannel/shared/im"
)

// ChoicesTool is the name of the tool that offers buttons.
const ChoicesTool = "quick_replies"

const (
	maxChoices  = 6
	choiceBytes = 120
)

// offerChoices is the tool that puts buttons below an answer.
func (d *draft) offerChoices() Tool {
	return Tool{
		ToolSpec: ToolSpec{
			Name:        ChoicesTool,
			Description: "Shows up to six buttons below your answer. Pressing one sends its text as the user's next message. Call it before you answer, only where there are a few obvious replies.",
			Parameters:  json.RawMessage(`{"type":"object","properties":{"choices":{"type":"array","maxItems":6,"items":{"type":"string","minLength":1,"maxLength":40}}},"required":["choices"]}`),
		},
		Run: func(ctx context.Context, c ToolCall) (string, error) {
			var in struct{ Choices []string }
			if err := json.Unmarshal(c.Arguments, &in); err != nil {
				return "", err
			}
			shown := d.presenter()
			shown.cites = nil
			var choices []string
			for _, text := range in.Choices[:min(len(in.Choices), maxChoices)] {
				text = strings.TrimSpace(im.CutText(shown.present(clean(text), true), choiceBytes))
				if text == "" {
					continue
				}
				o, err := d.judge(ctx, d.m.Robot, d.m.From, text)
				if err != nil {
					return "", err
				}
				if o.ok {
					choices = append(choices, o.text)
				}
			}
			if d.choices = choices; len(choices) == 0 {
				return "None of them can be shown.", nil
			}
			return "They will be shown below your answer.", nil
		},
	}
}

// choiceItem is one button, in the format of the UI kit's chatbot plug-in.
type choiceItem struct {
	Content string `json:"content"`
	Desc    string `json:"desc"`
}

// offer sends the buttons below the answer, as the custom message that the UI kit's
// chatbot plug-in shows as such.
func (d *draft) offer(ctx context.Context) error {
	if len(d.Choices) == 0 {
		return nil
	}
	items := make([]choiceItem, len(d.Choices))
	for i, text := range d.Choices {
		items[i].Content = text
	}
	data, err := json.Marshal(map[string]any{
		"chatbotPlugin": 2, "src": 15, "subtype": "quick_replies", "content": map[string]any{"header": "", "items": items},
	})
	if err != nil {
		return err
	}
	body, event := im.Custom(string(data), "", ""), d.event(MaxParts)
	if d.m.GroupID != "" {
		_, err = d.c.Sends.Group(ctx, event, im.GroupMsg{GroupID: d.m.GroupID, TopicID: d.m.TopicID, From: d.m.Robot, Body: body, AfterCallback: d.c.AfterCallback})
	} else {
		_, err = d.c.Sends.C2C(ctx, event, im.C2CMsg{From: d.m.Robot, To: d.m.From, Body: body, AfterCallback: d.c.AfterCallback})
	}
	return err
}
