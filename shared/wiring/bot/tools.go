package bot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/bot"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/desk/salesforce"
	"github.com/backchannel-im/backchannel/shared/desk/zendesk"
	"github.com/backchannel-im/backchannel/shared/hook"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// desk hands conversations over to the program's support desk.
type desk struct{ h *wiring.House }

// Ready implements [bot.HandOver].
func (d desk) Ready() bool { return d.h.Tickets != nil }

// Open implements [bot.HandOver].
func (d desk) Open(ctx context.Context, t bot.Ticket) (ticketID, groupID string, err error) {
	return d.h.Tickets.OpenFor(ctx, t.Key, t.UserID, t.Subject, t.Text)
}

// Over implements [bot.HandOver].
func (d desk) Over(ctx context.Context, ticketID string) (bool, error) {
	return d.h.Tickets.Over(ctx, ticketID)
}

// IsGroup implements [bot.HandOver]. It knows the groups of both desks: the program
// that hears a group's messages may have neither.
func (desk) IsGroup(groupID string) bool {
	return strings.HasPrefix(groupID, zendesk.GroupPrefix) || strings.HasPrefix(groupID, salesforce.GroupPrefix+salesforce.IDPrefix)
}

// served is a tool that a server of the merchant's has.
type served struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
	URL         string          `json:"url"`
	Timeout     string          `json:"timeout"`
	Users       []string        `json:"users"`  // who may cause it; without: everybody
	Robots      []string        `json:"robots"` // that have it; without: all
}

// maxTools bounds the tools over HTTP.
const maxTools = 32

func readTools(set *config.Reader) (tools []bot.Tool) {
	const name = "BOT_TOOLS"
	text := set.Text(config.Setting{
		Name: name, Meaning: "tools of your servers that the language model may call, by POSTs that are signed with BOT_TOOLS_KEY and carry an Idempotency-Key",
		Format: `JSON: [{"name", "description", "parameters": a JSON Schema, "url": "https://HOST/PATH", "timeout": "5s", "users": [who may cause it], "robots": [...]}]`,
	})
	key := set.Text(config.Setting{
		Name: "BOT_TOOLS_KEY", Meaning: "key that calls of BOT_TOOLS are signed with", Format: "at least 16 characters of your choice", Secret: true, Least: 16, Required: text != "",
	})
	if text == "" {
		return nil
	}
	var list []served
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&list); err != nil || len(list) > maxTools {
		set.Fault(name, "must be a JSON list of at most %d tools, of the fields name, description, parameters, url, timeout, users, robots", maxTools)
		return nil
	}
	taken := []string{bot.LookUpTool, bot.HandOverTool, bot.ChoicesTool}
	for _, s := range list {
		t, err := s.tool(key)
		switch {
		case err != nil:
			set.Fault(name, "%v", err)
		case slices.Contains(taken, s.Name):
			set.Fault(name, "there is another tool of the name %s", s.Name)
		}
		taken, tools = append(taken, s.Name), append(tools, t)
	}
	return tools
}

func (s served) tool(key string) (bot.Tool, error) {
	t := bot.Tool{ToolSpec: bot.ToolSpec{Name: s.Name, Description: s.Description, Parameters: s.Parameters}}
	if err := bot.CheckTool(t); err != nil {
		return t, err
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && (u.Hostname() == "127.0.0.1" || u.Hostname() == "localhost")) {
		return t, fmt.Errorf("the url of the tool %s must be https://HOST/PATH", s.Name)
	}
	if s.Timeout != "" {
		if t.Deadline, err = time.ParseDuration(s.Timeout); err != nil || t.Deadline <= 0 || t.Deadline > hook.Timeout {
			return t, fmt.Errorf("the timeout of the tool %s must be a duration of at most %v", s.Name, hook.Timeout)
		}
	}
	t.Allowed = func(c bot.ToolCall) bool {
		return (len(s.Users) == 0 || slices.Contains(s.Users, c.From)) && (len(s.Robots) == 0 || slices.Contains(s.Robots, c.Robot))
	}
	server := &hook.Hook{URL: s.URL, Key: key, Transport: wiring.Transport()}
	t.Run = func(ctx context.Context, c bot.ToolCall) (string, error) {
		body, err := json.Marshal(map[string]any{
			"tool": s.Name, "userId": c.From, "robot": c.Robot, "groupId": c.GroupID, "topicId": c.TopicID, "arguments": c.Arguments,
		})
		if err != nil {
			return "", err
		}
		_, answer, err := server.Post(ctx, c.Key, body)
		if err != nil {
			return "", errors.Join(errors.New("the tool's server did not do it"), err)
		}
		return strings.TrimSpace(string(answer)), nil
	}
	return t, nil
}
