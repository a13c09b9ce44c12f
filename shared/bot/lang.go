package bot

import (
	"encoding/json"
	"strings"
	"unicode"
)

// langOf guesses the language of a message by its script: "ja", "ko", "zh", and
// for all others "en".
func langOf(text string) string {
	han := false
	for _, r := range text {
		switch {
		case unicode.In(r, unicode.Hiragana, unicode.Katakana):
			return "ja"
		case unicode.Is(unicode.Hangul, r):
			return "ko"
		case unicode.Is(unicode.Han, r):
			han = true
		}
	}
	if han {
		return "zh"
	}
	return "en"
}

// The texts unless settings say otherwise, in English.
const (
	DefaultSorry    = "Sorry, I cannot answer at the moment. Please try again later."
	DefaultRefused  = "Sorry, I would rather not talk about that."
	DefaultSpent    = "Sorry, that is all I can answer today."
	DefaultForgot   = "I have forgotten what we talked about."
	DefaultBroken   = "Sorry, I lost the thread there. Please ask me again."
	DefaultHanded   = "I have asked a colleague to help you. They will write to you in a chat of their own, and I keep quiet here until they are done."
	DefaultReturned = "I am here for you again."
	DefaultPictures = "I cannot look at that, sorry. Please tell me in words."
)

// translations are the defaults in the other languages.
var translations = map[string]map[string]string{
	DefaultSorry:    {"zh": "抱歉，我现在无法回答，请稍后再试。", "ja": "申し訳ありません。ただいまお答えできません。しばらくしてからもう一度お試しください。", "ko": "죄송합니다. 지금은 답변할 수 없습니다. 나중에 다시 시도해 주세요."},
	DefaultRefused:  {"zh": "抱歉，这个话题我不便回答。", "ja": "申し訳ありません。その話題にはお答えできません。", "ko": "죄송합니다. 그 주제에는 답변할 수 없습니다."},
	DefaultSpent:    {"zh": "抱歉，今天的回答次数已经用完了。", "ja": "申し訳ありません。本日お答えできる回数を超えました。", "ko": "죄송합니다. 오늘 답변할 수 있는 횟수를 모두 사용했습니다."},
	DefaultForgot:   {"zh": "我已经忘记我们之前的对话。", "ja": "これまでの会話を忘れました。", "ko": "지금까지의 대화를 잊었습니다."},
	DefaultBroken:   {"zh": "抱歉，刚才的回答中断了，请再问我一次。", "ja": "申し訳ありません。回答が途中で切れました。もう一度お尋ねください。", "ko": "죄송합니다. 답변이 중간에 끊겼습니다. 다시 질문해 주세요."},
	DefaultHanded:   {"zh": "我已请同事来帮您，他们会在单独的群聊中联系您。在此期间我不会回复。", "ja": "担当者に引き継ぎました。別のチャットでご連絡します。終わるまで私はここではお答えしません。", "ko": "담당자에게 도움을 요청했습니다. 별도의 채팅에서 연락드리며, 그동안 저는 답변하지 않습니다."},
	DefaultReturned: {"zh": "我回来了，请继续问我。", "ja": "またお手伝いします。", "ko": "다시 제가 도와드리겠습니다."},
	DefaultPictures: {"zh": "抱歉，我看不了这个，请用文字告诉我。", "ja": "申し訳ありません。それは見られません。文字で教えてください。", "ko": "죄송합니다. 그것은 볼 수 없습니다. 글로 알려 주세요."},
}

// in returns a text in a language: a setting may be a sentence, or a JSON object of
// sentences by language.
func in(lang, text string) string {
	if t, is := translations[text]; is {
		if s := t[lang]; s != "" {
			return s
		}
		return text
	}
	if !strings.HasPrefix(text, "{") {
		return text
	}
	var by map[string]string
	if json.Unmarshal([]byte(text), &by) != nil {
		return text
	}
	if s := by[lang]; s != "" {
		return s
	}
	return by["en"]
}

// CheckText returns whether a text can be a setting: a sentence, or a JSON object
// of sentences with one in English ("en").
func CheckText(text string) bool {
	if !strings.HasPrefix(text, "{") {
		return true
	}
	var by map[string]string
	return json.Unmarshal([]byte(text), &by) == nil && by["en"] != ""
}

// own is one of our own texts in the language of the message that is answered.
func (d *draft) own(text string) string { return in(langOf(d.m.Text), text) }
