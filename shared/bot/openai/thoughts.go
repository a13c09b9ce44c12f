package openai

import (
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Models that reason in public mark their thoughts in the answer itself:
//
//   - between tags: <think>, <thinking>, <thought>, <reasoning>, with attributes
//     or a prefix (<seed:think>), ◁think▷, [THINK]. The opening tag is missing
//     where the provider put it into the prompt; the closing tag is missing
//     where the answer was cut off while the model was still thinking;
//   - by the channels of OpenAI's harmony format:
//     <|channel|>analysis<|message|>...<|channel|>final<|message|>..., or
//     analysis...assistantfinal... where the server dropped the markers.

// tags matches an opening or a closing tag. The expression is compiled on first
// use, which a program without chatbots never reaches.
var tags = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i:<(/?)(?:[a-z]+:)?(?:thinking|think|thoughts?|reasoning)(?:\s[^<>\n]*)?>)|◁(/?)think▷|\[(/?)THINK\]`)
})

// withoutThoughts returns what a model says to the user. It is "" where the
// model did nothing but think. A tag within a sentence or within code belongs to
// an answer that speaks about the tag, and stays.
func withoutThoughts(s string) string {
	if said, is := harmony(s); is {
		return strings.TrimSpace(said)
	}
	var said strings.Builder
	code := codeSpans(s)
	from := 0 // start of what is not yet decided
	within := false
	for _, m := range tags().FindAllStringSubmatchIndex(s, -1) {
		closing := false
		for g := 2; g < len(m); g += 2 {
			closing = closing || m[g] >= 0 && m[g+1] > m[g]
		}
		start, end := m[0], m[1]
		switch {
		case within && closing:
			within, from = false, end
		case within:
			// A thought about thoughts.
		case code.holds(start):
		case closing && closes(s, start, end):
			said.Reset()
			from = end
		case !closing && opens(s, start):
			said.WriteString(s[from:start])
			within, from = true, end
		}
	}
	if !within {
		said.WriteString(s[from:])
	}
	return strings.TrimSpace(said.String())
}

// opens reports whether an opening tag at start begins a thought: at the start
// of a line or of a sentence.
func opens(s string, start int) bool {
	before := strings.TrimRight(s[:start], " \t")
	r, _ := utf8.DecodeLastRuneInString(before)
	return before == "" || strings.ContainsRune("\n.!?…。！？>▷]", r)
}

// closes reports whether a closing tag that nothing opened ends a thought. An
// answer that speaks about the tag sets it off from the words on both sides.
func closes(s string, start, end int) bool {
	before := strings.TrimRight(s[:start], " \t")
	if before == "" || strings.HasSuffix(before, "\n") {
		return true
	}
	rest, _, _ := strings.Cut(s[end:], "\n")
	if strings.TrimSpace(rest) == "" {
		return opens(s, start) || !setOff(s[:start])
	}
	return !setOff(s[:start])
}

// setOff reports whether a text ends where a quoted word may begin.
func setOff(s string) bool {
	r, _ := utf8.DecodeLastRuneInString(s)
	return unicode.IsSpace(r) || strings.ContainsRune("\"'“‘(«「『《（,:", r)
}

// harmony returns what the channel "final" says, of a text in the harmony
// format.
func harmony(s string) (said string, is bool) {
	s = strings.TrimSpace(s)
	if !strings.HasPrefix(s, "<|channel|>") && !strings.HasPrefix(s, "<|start|>") {
		if _, said, found := strings.Cut(s, "assistantfinal"); found && strings.HasPrefix(s, "analysis") {
			return said, true
		}
		return "", false
	}
	var final strings.Builder
	for _, part := range strings.Split(s, "<|channel|>")[1:] {
		header, text, _ := strings.Cut(part, "<|message|>")
		if channel, _, _ := strings.Cut(strings.TrimSpace(header), " "); channel != "final" {
			continue
		}
		for _, marker := range []string{"<|end|>", "<|return|>", "<|start|>", "<|call|>"} {
			text, _, _ = strings.Cut(text, marker)
		}
		final.WriteString(text)
	}
	return final.String(), true
}

// spans are ranges of bytes, in order.
type spans [][2]int

func (s spans) holds(at int) bool {
	for _, span := range s {
		if span[0] <= at && at < span[1] {
			return true
		}
	}
	return false
}

// codeSpans finds Markdown's fenced blocks, and code within a line. A fence that
// nothing closes is no code: it is likelier to stand in a thought.
func codeSpans(s string) spans {
	var out spans
	fence := -1
	at := 0
	for line := range strings.Lines(s) {
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			if fence < 0 {
				fence = at
			} else {
				out, fence = append(out, [2]int{fence, at + len(line)}), -1
			}
		case fence < 0:
			out = append(out, inlineCode(line, at)...)
		}
		at += len(line)
	}
	return out
}

func inlineCode(line string, at int) spans {
	var out spans
	open := -1
	for i := range len(line) {
		if line[i] != '`' {
			continue
		}
		if open < 0 {
			open = i
		} else {
			out, open = append(out, [2]int{at + open, at + i + 1}), -1
		}
	}
	return out
}
