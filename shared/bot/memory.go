package bot

import (
	"context"
	"encoding/json"
	"errors"
	"unicode"

	"github.com/backchannel-im/backchannel/shared/kv"
)

const memoryKey = "memory"

// memory returns what was said in a conversation, and the revision of that.
func (b *Bots) memory(ctx context.Context, m message) ([]Turn, string, error) {
	item, err := b.c.Store.Get(ctx, m.box(), memoryKey)
	if errors.Is(err, kv.ErrNotFound) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	var turns []Turn
	return turns, item.Rev, json.Unmarshal(item.Value, &turns)
}

// remember writes what was said now to what was said before, as far back as the
// model is told. It is committed with the message's removal from the mailbox, so
// nothing is remembered twice.
func (b *Bots) remember(m message, a answer, before []Turn, rev string) ([]kv.Write, error) {
	is := kv.Absent()
	if rev != "" {
		is = kv.Rev(rev)
	}
	if a.Forget {
		if rev == "" {
			return nil, nil
		}
		return []kv.Write{kv.Delete{Key: memoryKey, If: is}}, nil
	}
	if !a.Said || b.c.MemoryTokens < 0 {
		return nil, nil
	}
	turns := recent(append(before, m.turn(), Turn{Role: Assistant, Text: a.Text}), b.c.MemoryTokens)
	if len(turns) == 0 {
		return nil, nil
	}
	value, err := json.Marshal(turns)
	if err != nil {
		return nil, err
	}
	return []kv.Write{kv.Put{Key: memoryKey, Value: value, If: is, Expires: b.c.Now().Add(b.c.MemoryLife)}}, nil
}

// recent returns the last turns that have at most so many tokens together,
// beginning with what a user said.
func recent(turns []Turn, tokens int) []Turn {
	first := len(turns)
	for first > 0 {
		if tokens -= Tokens(turns[first-1].Text); tokens < 0 {
			break
		}
		first--
	}
	for first < len(turns) && turns[first].Role != User {
		first++
	}
	return turns[first:]
}

// Tokens estimates how many tokens a text has for a model, rather too many than
// too few: one for each character of scripts without spaces, one for three of
// the others, and some for the turn itself.
func Tokens(text string) int {
	const ofTurn, letters = 4, 3
	n, other := ofTurn, 0
	for _, r := range text {
		if unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai) {
			n++
		} else {
			other++
		}
	}
	return n + (other+letters-1)/letters
}
