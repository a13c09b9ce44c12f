package settings

import (
	"regexp"
	"strings"
)

// leaning begins or runs through meanings that only make sense beside others.
var leaning = []struct {
	at  *regexp.Regexp
	why string
}{
	{regexp.MustCompile(`^(it|its|they|their|them|he|his|him|she|her|we|our|us|you|your|this|that|these|those|which|what|who|whom|whose|where|when|how|why|whether|one|ones|such|same|another|other|others)\b`), "begins with a pronoun or a question"},
	{regexp.MustCompile(`^(and|or|but|nor|so|yet|for|if|as|because|while|with|without|also|too|then|there|here)\b`), "begins with a conjunction or a preposition"},
	{regexp.MustCompile(`^(the|a|an) (same|other|others|rest|former|latter|one|above|below|previous)\b`), "leans on its neighbour"},
	{regexp.MustCompile(`\b(the same (for|as|when|in|with|again)|as above|see above|ditto|likewise|(those|these) (answers|requests|services|calls)|that (api|limit|key|client|app|account))\b`), "leans on its neighbour"},
}

// CheckMeaning returns the fault of a setting's meaning, or "" for a meaning that can
// be read alone. Lists are sorted by name, so a meaning must not depend on another one:
// it begins with a noun and names its subject.
func CheckMeaning(meaning string) string {
	if strings.TrimSpace(meaning) == "" {
		return "is empty"
	}
	for _, l := range leaning {
		if found := l.at.FindString(strings.ToLower(meaning)); found != "" {
			return l.why + ": " + found
		}
	}
	return ""
}
