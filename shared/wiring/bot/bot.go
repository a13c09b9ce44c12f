// Package bot wires chatbots with the language model that answers for them.
package bot

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/bot"
	"github.com/backchannel-im/backchannel/shared/bot/openai"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/moderation"
	"github.com/backchannel-im/backchannel/shared/wiring"
	moderating "github.com/backchannel-im/backchannel/shared/wiring/moderation"
)

// Feature is the chatbots.
var Feature = wiring.Feature{
	Name: "bot", Function: "bot-responder",
	Callbacks: true, Store: wiring.Required, Queue: wiring.Required, Callers: wiring.Servers,
	Read: read,
}

func read(s *wiring.Settings) wiring.Open {
	client := s.IM()
	conf := readConfig(s.Reader)
	streams := s.Bool(config.Setting{
		Name: "BOT_STREAM", Meaning: "1 shows answers while the language model writes them; 0 sends whole text messages", Format: "1 or 0", Default: "1",
	})
	conf.Stream.GroupsWhole = !s.Bool(config.Setting{
		Name: "BOT_STREAM_GROUPS", Meaning: "1 shows an answer in a group as one message that is edited at most once a second while the language model writes it; 0 sends whole text messages into groups, as live rooms get in any case", Format: "1 or 0", Default: "1",
	})
	moderated := s.Bool(config.Setting{
		Name: "BOT_MODERATION", Meaning: "1 judges what users ask robots, and each sentence of an answer before it is shown, by the rule set and the checker that judge messages; 0 does not", Format: "1 or 0", Default: "1",
	})
	passages := moderating.Passages(s)
	known, tools := readKnowledge(s.Reader), readTools(s.Reader)
	handsOver := s.Bool(config.Setting{
		Name: "BOT_HANDOVER", Meaning: "1 lets robots hand a conversation over to the support desk, where the program has one; 0 does not", Format: "1 or 0", Default: "1",
	})
	conf.Staff = []string{s.Admin()}
	if conf.Model, conf.MaxAnswer = readModel(s.Reader, s.Alone); conf.Model == nil && !s.Forwarded {
		return nil
	}
	return func(ctx context.Context, h *wiring.House) error {
		conf.Store, conf.Jobs = h.Store, h.Jobs
		if handsOver {
			conf.HandOver = desk{h}
		}
		if conf.Model != nil {
			if _, err := h.Queue(); err != nil {
				return err
			}
			conf.Sends = once.New(h.Store, client, nil)
			conf.Tools = tools
			active, err := known.open(ctx, h)
			if err != nil {
				return err
			}
			conf.Knowledge = active
			if moderated {
				filter, err := passages(ctx, h)
				if err != nil {
					return err
				}
				conf.Moderation = judge{filter}
			}
			if streams {
				conf.IM, conf.Stream.Rate = client, client.Rate()
			}
		}
		bots := bot.New(conf)
		h.Callbacks(bots.Register)
		h.Routes(bots.Routes)
		return nil
	}
}

// judge has the filter of messages judge what robots are asked and say.
type judge struct{ filter *moderation.Filter }

// Judge implements [bot.Moderation].
func (j judge) Judge(ctx context.Context, p bot.Passage) (text string, ok bool, err error) {
	text, ok = j.filter.Passage(ctx, moderation.Passage(p))
	return text, ok, ctx.Err()
}

// readConfig reads everything but how the model is reached.
func readConfig(set *config.Reader) (conf bot.Config) {
	conf.Prompt = set.Text(config.Setting{
		Name: "BOT_PROMPT", Meaning: "system prompt that the language model gets before each conversation", Format: "text", Default: "You are a helpful assistant in a chat. Answer briefly, in the language you are asked in.",
	})
	prompts := config.Setting{
		Name: "BOT_PROMPTS", Meaning: "system prompts of single robots, in place of BOT_PROMPT", Format: `a JSON object such as {"@RBT#001": "You are a pirate."}`,
	}
	if text := set.Text(prompts); text != "" {
		if err := json.Unmarshal([]byte(text), &conf.Prompts); err != nil {
			set.Fault(prompts.Name, "must be a JSON object of texts")
		}
		for robot := range conf.Prompts {
			if !im.IsRobot(robot) {
				set.Fault(prompts.Name, "%q is no robot: their ids start with %s", robot, im.RobotPrefix)
			}
		}
	}
	conf.MemoryTokens = set.Int(config.Setting{
		Name: "BOT_MEMORY_TOKENS", Meaning: "part of the earlier conversation that the language model gets with a message, in estimated tokens; 0 for none", Format: "a number", Default: "2000",
	}, 0, 20_000)
	if conf.MemoryTokens == 0 {
		conf.MemoryTokens = -1
	}
	conf.MemoryLife = set.Duration(config.Setting{
		Name: "BOT_MEMORY_LIFE", Meaning: "time for which a conversation is remembered after its last message", Format: "a duration, such as 24h", Default: "24h",
	}, time.Minute, 30*24*time.Hour)
	conf.Forget = set.List(config.Setting{
		Name: "BOT_FORGET", Meaning: "messages that ask a robot to forget the conversation", Format: "texts separated by commas", Default: "/forget",
	})
	perDay := func(who, what string) bot.Limit {
		return bot.Limit{
			Answers: set.Int(config.Setting{
				Name: "BOT_" + who + "_PER_DAY", Meaning: "answers of the language model " + what + " a day (UTC); 0 for any number", Format: "a number", Default: "0",
			}, 0, 1_000_000),
			Tokens: set.Int(config.Setting{
				Name: "BOT_" + who + "_TOKENS_PER_DAY", Meaning: "tokens, of prompts and answers together, for answers " + what + " a day (UTC); 0 for any number", Format: "a number", Default: "0",
			}, 0, 1_000_000_000),
		}
	}
	conf.Budget = bot.Budget{
		User: perDay("USER", "that one user may get"), Group: perDay("GROUP", "that one group may get"),
		Robot: perDay("ROBOT", "that one robot may give"), All: perDay("ALL", "for all users together"),
	}
	sentence := func(name, when, text string) string {
		s := config.Setting{
			Name: name, Meaning: "answer of a robot when " + when + "; the default is also there in Chinese, Japanese and Korean", Format: `a sentence, or sentences by language as {"en": "Later.", "zh": "稍后。"}`, Default: text,
		}
		got := set.Text(s)
		if !bot.CheckText(got) {
			set.Fault(name, `must be a sentence, or a JSON object of sentences by language with one for "en"`)
		}
		return got
	}
	conf.Texts = bot.Texts{
		Sorry:    sentence("BOT_SORRY", "the language model cannot be reached", bot.DefaultSorry),
		Refused:  sentence("BOT_REFUSED", "the language model refuses to answer", bot.DefaultRefused),
		Spent:    sentence("BOT_SPENT", "the day's answers are used up", bot.DefaultSpent),
		Forgot:   sentence("BOT_FORGOT", "a user asked to forget the conversation", bot.DefaultForgot),
		Broken:   sentence("BOT_BROKEN", "the language model broke off an answer that is shown in part, as the answer's last sentence", bot.DefaultBroken),
		Handed:   sentence("BOT_HANDED", "a person was called", bot.DefaultHanded),
		Returned: sentence("BOT_RETURNED", "somebody brought the robot back", bot.DefaultReturned),
		Pictures: sentence("BOT_PICTURES", "a message has nothing but pictures, voices, videos or files", bot.DefaultPictures),
	}
	conf.Summary = set.Bool(config.Setting{
		Name: "BOT_SUMMARY", Meaning: "1 has the language model sum up what of a conversation no longer fits into BOT_MEMORY_TOKENS; 0 forgets it", Format: "1 or 0", Default: "1",
	})
	conf.Human = set.List(config.Setting{
		Name: "BOT_HUMAN", Meaning: "messages that call a person", Format: "texts separated by commas", Default: "/human",
	})
	conf.Return = set.List(config.Setting{
		Name: "BOT_RETURN", Meaning: "messages that bring the robot back while a person has the conversation, from the user to the robot or from anybody in the ticket's group", Format: "texts separated by commas", Default: "/robot",
	})
	conf.QuickReplies = set.Bool(config.Setting{
		Name: "BOT_QUICK_REPLIES", Meaning: "1 lets the language model show buttons below an answer, as custom messages of the UI kit's chatbot plug-in", Format: "1 or 0", Default: "0",
	})
	conf.Images = set.Bool(config.Setting{
		Name: "LLM_IMAGES", Meaning: "1 shows pictures of messages to the language model, which must take them; 0 answers a message of pictures alone with BOT_PICTURES", Format: "1 or 0", Default: "0",
	})
	conf.LinkHosts = set.List(config.Setting{
		Name: "BOT_LINK_HOSTS", Meaning: "hosts that links and pictures in answers may lead to, with their subdomains, beside that of BOT_KNOWLEDGE_URL; links to others become their text", Format: "host names separated by commas",
	})
	conf.KnowledgeURL = set.URL(config.Setting{
		Name: "BOT_KNOWLEDGE_URL", Meaning: "URL below which the pages of BOT_KNOWLEDGE can be read; answers cite a page by its path without this setting", Format: "https://HOST/help",
	})
	conf.AfterCallback = set.Bool(config.Setting{
		Name: "BOT_AFTER_CALLBACK", Meaning: "1 makes IM send after-callbacks for the robots' messages, for counters and archives", Format: "1 or 0", Default: "0",
	})
	return conf
}

// readModel reads how the model is reached, and how long its answers are at most, in
// tokens. The model is nil without LLM_BASE_URL and after a fault.
func readModel(set *config.Reader, required bool) (m bot.Model, maxAnswer int) {
	c := openai.Config{Transport: wiring.Transport()}
	c.URL = set.URL(config.Setting{
		Name: "LLM_BASE_URL", Meaning: "base URL of the language model's OpenAI-compatible API; robots are silent without this setting", Format: "https://HOST/v1", Required: required,
	})
	there := required || c.URL != ""
	c.Path = set.Text(config.Setting{
		Name: "LLM_PATH", Meaning: "path of chat completions below LLM_BASE_URL", Format: "a path", Default: "/chat/completions",
	})
	c.Key = set.Text(config.Setting{Name: "LLM_API_KEY", Meaning: "API key of the language model", Format: "text", Secret: true})
	c.Models = set.List(config.Setting{
		Name: "LLM_MODEL", Meaning: "name of the language model, followed by the models to use when it is unavailable", Format: "names separated by commas", Required: there,
	})
	c.MaxTokens = set.Int(config.Setting{
		Name: "LLM_MAX_TOKENS", Meaning: "longest answer of the language model, in tokens; 0 sends no limit", Format: "a number", Default: "1000",
	}, 0, 100_000)
	c.TokensField = set.Choice(config.Setting{
		Name: "LLM_TOKENS_FIELD", Meaning: "name of the request field that carries LLM_MAX_TOKENS", Format: "max_completion_tokens or max_tokens", Default: "max_completion_tokens",
	}, "max_completion_tokens", "max_tokens")
	c.Try = set.Duration(config.Setting{
		Name: "LLM_TIMEOUT", Meaning: "time for which the language model may be silent before an answer and within one; all retries together end after a minute", Format: "a duration, such as 25s", Default: "25s",
	}, time.Second, bot.Thinking)
	if c.URL == "" || len(c.Models) == 0 {
		return nil, 0
	}
	model, err := openai.New(c)
	if err != nil {
		set.Fault("LLM_BASE_URL", "%s", strings.TrimPrefix(err.Error(), "openai: "))
		return nil, 0
	}
	return model, c.MaxTokens
}
