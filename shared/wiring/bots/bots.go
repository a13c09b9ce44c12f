// Package bots reads which model answers for the chatbots, and how.
package bots

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/bot"
	"github.com/backchannel-im/backchannel/shared/bot/openai"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/wiring/imclient"
	"github.com/backchannel-im/backchannel/shared/wiring/jobs"
)

// Function is the name of the function that has the chatbots.
const Function = "bot-responder"

// Bots is what the settings say of the chatbots.
type Bots struct {
	conf   bot.Config
	client func() (*im.Client, error)
}

// Require reads the settings of the chatbots.
func Require(set *config.Reader) *Bots { return read(set, true) }

// Optional is Require for a program that can do without a model.
func Optional(set *config.Reader) *Bots { return read(set, false) }

func read(set *config.Reader, required bool) *Bots {
	b := &Bots{client: imclient.Read(set)}
	b.readModel(set, required)
	b.conf.Prompt = set.Text(config.Setting{
		Name: "BOT_PROMPT", Meaning: "what a model is told before each conversation", Format: "text", Default: "You are a helpful assistant in a chat. Answer briefly, in the language you are asked in.",
	})
	prompts := config.Setting{
		Name: "BOT_PROMPTS", Meaning: "the same for single robots", Format: `a JSON object such as {"@RBT#001": "You are a pirate."}`,
	}
	if text := set.Text(prompts); text != "" {
		if err := json.Unmarshal([]byte(text), &b.conf.Prompts); err != nil {
			set.Fault(prompts.Name, "must be a JSON object of texts")
		}
		for robot := range b.conf.Prompts {
			if !im.IsRobot(robot) {
				set.Fault(prompts.Name, "%q is no robot: their ids start with %s", robot, im.RobotPrefix)
			}
		}
	}
	b.conf.MemoryTokens = set.Int(config.Setting{
		Name: "BOT_MEMORY_TOKENS", Meaning: "how much of a conversation a model is told again, in tokens by estimate; 0 for nothing", Format: "a number", Default: "2000",
	}, 0, 20_000)
	if b.conf.MemoryTokens == 0 {
		b.conf.MemoryTokens = -1
	}
	b.conf.MemoryLife = set.Duration(config.Setting{
		Name: "BOT_MEMORY_LIFE", Meaning: "how long a conversation is remembered after its last message", Format: "a duration, such as 24h", Default: "24h",
	}, time.Minute, 30*24*time.Hour)
	b.conf.Forget = set.List(config.Setting{
		Name: "BOT_FORGET", Meaning: "messages that ask a robot to forget the conversation", Format: "texts separated by commas", Default: "/forget",
	})
	perDay := func(name, what string) int {
		return set.Int(config.Setting{
			Name: name, Meaning: "how many answers of a model " + what + " a day (UTC); 0 for any number", Format: "a number", Default: "0",
		}, 0, 1_000_000)
	}
	b.conf.Budget = bot.Budget{
		User: perDay("BOT_USER_PER_DAY", "one user gets"), Group: perDay("BOT_GROUP_PER_DAY", "one group gets"), All: perDay("BOT_ALL_PER_DAY", "there are in all"),
	}
	sentence := func(name, when, text string) string {
		return set.Text(config.Setting{Name: name, Meaning: "what a robot says when " + when, Format: "a sentence", Default: text})
	}
	b.conf.Texts = bot.Texts{
		Sorry:   sentence("BOT_SORRY", "the model cannot be reached", bot.DefaultSorry),
		Refused: sentence("BOT_REFUSED", "the model does not want to answer", bot.DefaultRefused),
		Spent:   sentence("BOT_SPENT", "the day's answers are used up", bot.DefaultSpent),
		Forgot:  sentence("BOT_FORGOT", "it was asked to forget", bot.DefaultForgot),
	}
	b.conf.AfterCallback = set.Bool(config.Setting{
		Name: "BOT_AFTER_CALLBACK", Meaning: "have IM call back after what robots send, for counters and archives", Format: "1 or 0", Default: "0",
	})
	return b
}

// readModel reads how the model is reached.
func (b *Bots) readModel(set *config.Reader, required bool) {
	c := openai.Config{Transport: transport()}
	c.URL = set.URL(config.Setting{
		Name: "LLM_BASE_URL", Meaning: "OpenAI-compatible API of the language model; without it, robots are silent", Format: "https://HOST/v1", Required: required,
	})
	there := required || c.URL != ""
	c.Path = set.Text(config.Setting{
		Name: "LLM_PATH", Meaning: "what follows the base URL", Format: "a path", Default: "/chat/completions",
	})
	c.Key = set.Text(config.Setting{Name: "LLM_API_KEY", Meaning: "key of that API", Format: "text", Secret: true})
	c.Models = set.List(config.Setting{
		Name: "LLM_MODEL", Meaning: "the model, and after a comma those to ask where it is away", Format: "names separated by commas", Required: there,
	})
	c.MaxTokens = set.Int(config.Setting{
		Name: "LLM_MAX_TOKENS", Meaning: "how long an answer may be, in tokens; 0 leaves it to the model", Format: "a number", Default: "1000",
	}, 0, 100_000)
	c.TokensField = set.Choice(config.Setting{
		Name: "LLM_TOKENS_FIELD", Meaning: "what the API calls that limit", Format: "max_completion_tokens or max_tokens", Default: "max_completion_tokens",
	}, "max_completion_tokens", "max_tokens")
	c.Try = set.Duration(config.Setting{
		Name: "LLM_TIMEOUT", Meaning: "how long one request to the model may take; all tries together get a minute", Format: "a duration, such as 25s", Default: "25s",
	}, time.Second, bot.Thinking)
	if c.URL == "" || len(c.Models) == 0 {
		return
	}
	model, err := openai.New(c)
	if err != nil {
		set.Fault("LLM_BASE_URL", "%s", strings.TrimPrefix(err.Error(), "openai: "))
		return
	}
	b.conf.Model = model
}

// transport keeps as many connections to the model as answers are thought of
// side by side.
func transport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 16
	return t
}

// Rules are the chatbots, opened.
type Rules struct{ bots *bot.Bots }

// Open makes the chatbots, over a store and a queue. It calls neither IM nor the
// model. Without a model there are none.
func (b *Bots) Open(work *jobs.Jobs) (*Rules, error) {
	if b.conf.Model == nil {
		return &Rules{}, nil
	}
	if work.Ledger == nil {
		return nil, errors.New("QUEUE_URL: required where there are chatbots")
	}
	client, err := b.client()
	if err != nil {
		return nil, err
	}
	conf := b.conf
	conf.Store, conf.Jobs, conf.Sends = work.Store, work.Ledger, once.New(work.Store, client, nil)
	return &Rules{bot.New(conf)}, nil
}

// Register adds the callbacks of the chatbots.
func (r *Rules) Register(m *callback.Mux) {
	if r.bots != nil {
		r.bots.Register(m)
	}
}
