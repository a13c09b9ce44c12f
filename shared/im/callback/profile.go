package callback

import "encoding/json"

// ProfilePortraitSet tells that a profile changed. Profile.CallbackPortraitSet
// (1047/48733). Its identity is From and EventTime.
type ProfilePortraitSet struct {
	Base
	Operator    string        `json:"Operator_Account"`
	From        string        `json:"From_Account"`
	ProfileItem []ProfileItem `json:"ProfileItem"`
	EventTime   Millis        `json:"EventTime,omitempty"`
}

func (*ProfilePortraitSet) happened() {}

// ProfileItem is one field of a profile, text or number by its tag.
type ProfileItem struct {
	Tag   string          `json:"Tag"`
	Value json.RawMessage `json:"Value"`
}
