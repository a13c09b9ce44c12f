package mark

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/community"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
)

// Routes adds the routes of marks.
func (m *Marks) Routes(mux *http.ServeMux, conf api.RoutesConfig) {
	const ok, message = http.StatusOK, "/communities/{id}/channels/{channelId}/messages/{msgSeq}"
	api.Mount(
		mux, conf,
		api.On(http.MethodPatch, message, ok, 0, m.patch),
		api.On(http.MethodPut, message+"/reactions/{emoji}", ok, 0, m.react(true)),
		api.On(http.MethodDelete, message+"/reactions/{emoji}", ok, 0, m.react(false)),
		api.On(http.MethodGet, message+"/reactions", ok, 0, m.getReactions),
		api.On(http.MethodPut, message+"/pin", ok, 0, m.pin(true)),
		api.On(http.MethodDelete, message+"/pin", ok, 0, m.pin(false)),
		api.On(http.MethodGet, "/communities/{id}/channels/{channelId}/pins", ok, 0, m.getPins),
	)
}

func seqOf(r *http.Request) (uint32, error) {
	seq, err := strconv.ParseUint(r.PathValue("msgSeq"), 10, 32)
	if err != nil || seq == 0 {
		return 0, fault.New(fault.Invalid, "the path names a message by its MsgSeq, a number from 1 on")
	}
	return uint32(seq), nil
}

type reactionsAnswer struct {
	Reactions []Reaction `json:"reactions"`
}

func (m *Marks) react(on bool) func(context.Context, api.Caller, *http.Request) (any, error) {
	return func(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
		seq, err := seqOf(r)
		if err != nil {
			return nil, err
		}
		list, err := m.React(ctx, c, r.PathValue("id"), r.PathValue("channelId"), seq, r.PathValue("emoji"), on)
		return reactionsAnswer{list}, err
	}
}

func (m *Marks) getReactions(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	seq, err := seqOf(r)
	if err != nil {
		return nil, err
	}
	ref, err := m.visible(ctx, c, r.PathValue("id"), r.PathValue("channelId"), seq)
	if err != nil {
		return nil, err
	}
	if _, err := m.Ensure(ctx, ref); err != nil {
		return nil, err
	}
	list, err := m.reactions(ctx, ref)
	return reactionsAnswer{list}, community.Public(err)
}

func (m *Marks) patch(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	seq, err := seqOf(r)
	if err != nil {
		return nil, err
	}
	var in struct {
		MsgBody json.RawMessage `json:"msgBody"`
	}
	if err := api.Decode(r, &in); err != nil {
		return nil, err
	}
	body, err := bodyOf(in.MsgBody)
	if err != nil {
		return nil, err
	}
	if err := m.Edit(ctx, c, r.PathValue("id"), r.PathValue("channelId"), seq, body); err != nil {
		return nil, err
	}
	return struct {
		MsgSeq   uint32     `json:"msgSeq"`
		MsgBody  im.MsgBody `json:"msgBody"`
		IsEdited bool       `json:"isEdited"`
	}{seq, body, true}, nil
}

// bodyOf reads a list of IM's message elements that fits into a message together with
// our field.
func bodyOf(raw json.RawMessage) (im.MsgBody, error) {
	var body im.MsgBody
	bad := fault.New(fault.Invalid, `msgBody is a list of IM's message elements, {"MsgType","MsgContent"}, of at most %d bytes`, im.MaxMessage-MaxField)
	if len(raw) > im.MaxMessage-MaxField || json.Unmarshal(raw, &body) != nil || len(body) == 0 {
		return nil, bad
	}
	for _, e := range body {
		var content map[string]any
		if e.MsgType == "" || json.Unmarshal(e.MsgContent, &content) != nil || content == nil {
			return nil, bad
		}
		// IM is asked later, when nobody waits for its answer any more: what it would
		// refuse is refused here.
		needs, known := elements[e.MsgType]
		if !known {
			return nil, fault.New(fault.Invalid, "%.40q is no element that a message may be changed to", e.MsgType)
		}
		for _, name := range needs {
			if !isOf(name, content[name]) {
				return nil, fault.New(fault.Invalid, "the MsgContent of a %s needs its %s", e.MsgType, name)
			}
		}
	}
	return body, nil
}

// elements are IM's elements that people send, with the fields without which IM
// refuses them.
var elements = map[string][]string{
	im.TextElem: {"Text"}, im.FaceElem: {"Index"}, im.LocationElem: {"Latitude", "Longitude"}, im.RelayElem: {"Title"},
	im.CustomElem: nil, im.ImageElem: nil, im.SoundElem: nil, im.FileElem: nil, im.VideoElem: nil,
}

func isOf(name string, v any) bool {
	if name == "Text" || name == "Title" {
		_, is := v.(string)
		return is
	}
	_, is := v.(float64)
	return is
}

type pinned struct {
	MsgSeq uint32 `json:"msgSeq"`
}

type pinsAnswer struct {
	Pins []pinned `json:"pins"`
	Next string   `json:"next,omitempty"`
}

func pinsOf(seqs []uint32) pinsAnswer {
	a := pinsAnswer{Pins: []pinned{}}
	for _, seq := range seqs {
		a.Pins = append(a.Pins, pinned{seq})
	}
	return a
}

func (m *Marks) pin(on bool) func(context.Context, api.Caller, *http.Request) (any, error) {
	return func(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
		seq, err := seqOf(r)
		if err != nil {
			return nil, err
		}
		pins, err := m.Pin(ctx, c, r.PathValue("id"), r.PathValue("channelId"), seq, on)
		return pinsOf(pins), err
	}
}

// getPins lists the pinned messages of a channel, the newest pin first.
func (m *Marks) getPins(ctx context.Context, c api.Caller, r *http.Request) (any, error) {
	page, err := api.ReadPage(r)
	if err != nil {
		return nil, err
	}
	ref, err := m.visible(ctx, c, r.PathValue("id"), r.PathValue("channelId"), 0)
	if err != nil {
		return nil, err
	}
	pins, err := m.conf.Communities.Pins(ctx, ref.Community, ref.Channel)
	if err != nil {
		return nil, err
	}
	if page.After != "" {
		at := -1
		for i, seq := range pins {
			if strconv.FormatUint(uint64(seq), 10) == page.After {
				at = i
			}
		}
		if at < 0 { // from the start it would list some twice
			return nil, fault.New(fault.Invalid, `after is the "next" of the answer before, of a message that is still pinned; begin anew`)
		}
		pins = pins[at+1:]
	}
	a := pinsOf(pins[:min(page.Limit, len(pins))])
	if len(pins) > page.Limit {
		a.Next = strconv.FormatUint(uint64(pins[page.Limit-1]), 10)
	}
	return a, nil
}
