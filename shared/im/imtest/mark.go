package imtest

import (
	"maps"
	"slices"
)

// Marks of AVChatRoom members (1047/50294): numbers that the room's owner gives users
// who are there, and that lists of members filter by.

// Limits of marks.
const (
	leastMark       = 1000
	maxMarks        = 10 // different ones of a room
	maxMarkedAtOnce = 500
)

type markRequest struct {
	GroupId     string //nolint:revive // IM's spelling
	CommandType int
	MemberList  []struct {
		Member_Account string //nolint:revive // IM's spelling
		Marks          []int
	}
}

// markMembers sets marks (CommandType 1) or removes them (2). Users who are not in
// the room are left out of the answer.
func markMembers(a *App, in markRequest) (object, error) {
	if in.CommandType != 1 && in.CommandType != 2 {
		return nil, fail(10004, "CommandType must be 1 or 2")
	}
	if err := checkMany(len(in.MemberList), maxMarkedAtOnce); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.avRoom(in.GroupId)
	if err != nil {
		return nil, err
	}
	used := make(map[int]bool)
	for _, p := range g.online {
		for _, mark := range p.marks {
			used[mark] = true
		}
	}
	for _, m := range in.MemberList {
		for _, mark := range m.Marks {
			if mark < leastMark {
				return nil, fail(10004, "a mark is 1000 or more")
			}
			used[mark] = used[mark] || in.CommandType == 1
		}
	}
	maps.DeleteFunc(used, func(_ int, is bool) bool { return !is })
	if len(used) > maxMarks {
		return nil, fail(10004, "over 10 marks in the room")
	}
	list := []object{}
	for _, m := range in.MemberList {
		p := g.online[m.Member_Account]
		if p == nil {
			continue
		}
		for _, mark := range m.Marks {
			p.marks = slices.DeleteFunc(p.marks, func(x int) bool { return x == mark })
			if in.CommandType == 1 {
				p.marks = append(p.marks, mark)
			}
		}
		slices.Sort(p.marks)
		list = append(list, object{"Member_Account", m.Member_Account, "Marks", append([]int{}, p.marks...)})
	}
	return ok.with("CommandType", in.CommandType, "MemberList", list), nil
}
