// Package words reads which words messages may not hold.
package words

import (
	"os"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/moderation"
)

// Read reads MODERATION_RULES. It is nil after a fault.
func Read(set *config.Reader) *moderation.Filter {
	file := set.Text(config.Setting{
		Name: "MODERATION_RULES", Meaning: "the rule set for messages; without it, the small one that ships with Backchannel",
		Format: "path of a JSON file",
	})
	if file == "" {
		return moderation.NewFilter(moderation.DefaultRules())
	}
	b, err := os.ReadFile(file)
	if err != nil {
		set.Fault("MODERATION_RULES", "%v", err)
		return nil
	}
	rules, err := moderation.ParseRules(b)
	if err != nil {
		set.Fault("MODERATION_RULES", "%v", err)
		return nil
	}
	return moderation.NewFilter(rules)
}
