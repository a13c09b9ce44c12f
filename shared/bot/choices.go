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
		Run: func(_ context.Context, c ToolCall) (string, error) {
			var in struct{ Choices []string }
			if err := json.Unmarshal(c.Arguments, &in); err != nil {
				return "", err
			}
			d.choices = nil
			for _, text := range in.Choices {
				if text = strings.TrimSpace(im.CutText(clean(text), choiceBytes)); text != "" && len(d.choices) < maxChoices {
					d.choices = append(d.choices, text)
				}
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
