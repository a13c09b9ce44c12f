package wordlist

import _ "embed"

// defaultImage is compile/default.json, compiled:
//
//	cd shared/moderation/wordlist && go run ../../../scripts/rulec compile compile/default.json -o default.image
//
//go:embed default.image
var defaultImage string

// Default returns the small rule set that ships with Backchannel: plain abuse,
// sex, gambling, drugs, fraud and spam in English, Chinese and Japanese. The
// words are our own collection, under the licence of the repository.
func Default() *List {
	l, err := Open(defaultImage)
	if err != nil {
		panic("wordlist: the embedded image does not open: " + err.Error())
	}
	return l
}
