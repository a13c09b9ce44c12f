package imtest

import (
	"encoding/json"
	"strings"
)

// Answers of a robot that grow while they are written (1047/71131).

type streamRequest struct {
	From_Account, To_Account, Chunk, MsgKey string //nolint:revive // IM's spelling
	Finish                                  int
}

// streamed is what such a message carries in its TIMCustomElem: our reading of
// the protocol of the client's UI kit (1047/71131).
type streamed struct {
	ChatbotPlugin int      `json:"chatbotPlugin"`
	Src           int      `json:"src"`
	Chunks        []string `json:"chunks"`
	IsFinished    int      `json:"isFinished"`
}

func (s streamed) body() json.RawMessage {
	data, err := json.Marshal(s)
	if err == nil {
		data, err = json.Marshal([]object{{"MsgType", "TIMCustomElem", "MsgContent", object{"Data", string(data)}}})
	}
	if err != nil {
		panic("imtest: a stream does not marshal: " + err.Error())
	}
	return data
}

// read decodes the stream of a message.
func (s *streamed) read(m *Message) bool {
	var elements []struct{ MsgContent struct{ Data string } }
	return json.Unmarshal(m.Body, &elements) == nil && len(elements) == 1 &&
		json.Unmarshal([]byte(elements[0].MsgContent.Data), s) == nil && s.ChatbotPlugin != 0
}

// sendStreamMsg begins a message, or with its MsgKey goes on with it until
// Finish.
func sendStreamMsg(a *App, in streamRequest) (object, error) {
	switch {
	case !strings.HasPrefix(in.From_Account, robotPrefix):
		return nil, fail(90008, "From_Account must be a robot")
	case in.Chunk == "":
		return nil, fail(90001, "Chunk is missing")
	case in.MsgKey != "":
		return a.goOnStreaming(in)
	}
	a.mu.Lock()
	random := a.rng.Uint32()
	a.mu.Unlock()
	quiet := !a.conf.Unknowns.StreamsCallBack
	done, err := a.sendC2C(c2cSend{
		sender: in.From_Account, receiver: in.To_Account, random: random, from: fromREST, byREST: true,
		skipBefore: quiet, skipAfter: quiet,
		body: streamed{ChatbotPlugin: 2, Src: 2, Chunks: []string{in.Chunk}, IsFinished: in.Finish}.body(),
	})
	if err != nil {
		return nil, err
	}
	return ok.with("MsgKey", done.Key), nil
}

func (a *App) goOnStreaming(in streamRequest) (object, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, m, err := a.keyedMessage(keyed{in.From_Account, in.To_Account, in.MsgKey})
	if err != nil {
		return nil, err
	}
	var s streamed
	if !s.read(m) || s.IsFinished == 1 {
		return nil, fail(90054, "MsgKey is of no stream that goes on")
	}
	s.Chunks, s.IsFinished = append(s.Chunks, in.Chunk), in.Finish
	if err := m.modify(s.body(), nil, c2cBody); err != nil {
		return nil, err
	}
	e := &Event{Kind: "modified", Message: m.copied()}
	a.deliver(m.To, e)
	a.deliver(m.From, e)
	return ok.with("MsgKey", in.MsgKey), nil
}
