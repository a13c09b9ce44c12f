package callback

// friendTargets are events whose answer must list each target.
type friendTargets interface{ targets() []string }

// SnsPrevFriendAdd asks whether friends may be added; REST requests do not ask.
// Sns.CallbackPrevFriendAdd (1047/43468).
type SnsPrevFriendAdd struct {
	Base
	Requester     string       `json:"Requester_Account"`
	From          string       `json:"From_Account"`
	Friends       []FriendItem `json:"FriendItem"`
	AddType       string       `json:"AddType"`
	ForceAddFlags int          `json:"ForceAddFlags"`
	EventTime     Millis       `json:"EventTime,omitempty"`
}

func (*SnsPrevFriendAdd) asks(FriendVerdict) {}

func (e *SnsPrevFriendAdd) targets() []string {
	ids := make([]string, len(e.Friends))
	for i, f := range e.Friends {
		ids[i] = f.To
	}
	return ids
}

// FriendItem is a friend to be added.
type FriendItem struct {
	To         string `json:"To_Account"`
	Remark     string `json:"Remark,omitempty"`
	GroupName  string `json:"GroupName,omitempty"`
	AddSource  string `json:"AddSource,omitempty"`
	AddWording string `json:"AddWording,omitempty"`
}

// SnsPrevFriendResponse asks whether the answers to friend requests may stand.
// Sns.CallbackPrevFriendResponse (1047/43467).
type SnsPrevFriendResponse struct {
	Base
	Requester string               `json:"Requester_Account"`
	From      string               `json:"From_Account"`
	Friends   []ResponseFriendItem `json:"ResponseFriendItem"`
	EventTime Millis               `json:"EventTime,omitempty"`
}

func (*SnsPrevFriendResponse) asks(FriendVerdict) {}

func (e *SnsPrevFriendResponse) targets() []string {
	ids := make([]string, len(e.Friends))
	for i, f := range e.Friends {
		ids[i] = f.To
	}
	return ids
}

// ResponseFriendItem is an answer to one friend request.
type ResponseFriendItem struct {
	To             string `json:"To_Account"`
	Remark         string `json:"Remark,omitempty"`
	TagName        string `json:"TagName,omitempty"`
	ResponseAction string `json:"ResponseAction"`
}

// Pair is one direction of a relation.
type Pair struct {
	From      string `json:"From_Account"`
	To        string `json:"To_Account"`
	Initiator string `json:"Initiator_Account,omitempty"`
}

// SnsFriendAdd tells of new friends; an import does not. Sns.CallbackFriendAdd
// (1047/34359). Each pair is one direction, to be kept once.
type SnsFriendAdd struct {
	Base
	Pairs     []Pair `json:"PairList"`
	ClientCmd string `json:"ClientCmd,omitempty"`
	Admin     string `json:"Admin_Account,omitempty"`
	ForceFlag int    `json:"ForceFlag,omitempty"`
	EventTime Millis `json:"EventTime,omitempty"`
}

func (*SnsFriendAdd) happened() {}

// SnsFriendDelete tells of ended friendships. Sns.CallbackFriendDelete
// (1047/34360). Each pair is one direction, to be removed once.
type SnsFriendDelete struct {
	Base
	Pairs     []Pair `json:"PairList"`
	EventTime Millis `json:"EventTime,omitempty"`
}

func (*SnsFriendDelete) happened() {}

// SnsBlackListAdd tells who blocked whom. Sns.CallbackBlackListAdd
// (1047/34361). Each pair is to be kept once.
type SnsBlackListAdd struct {
	Base
	Pairs     []Pair `json:"PairList"`
	EventTime Millis `json:"EventTime,omitempty"`
}

func (*SnsBlackListAdd) happened() {}

// SnsBlackListDelete tells who no longer blocks whom.
// Sns.CallbackBlackListDelete (1047/34362). Each pair is to be removed once.
type SnsBlackListDelete struct {
	Base
	Pairs     []Pair `json:"PairList"`
	EventTime Millis `json:"EventTime,omitempty"`
}

func (*SnsBlackListDelete) happened() {}
