package faas

import (
	"bufio"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/tencentyun/scf-go-lib/cloudfunction/messages"
)

// The protocol of Tencent's scf-go-lib is net/rpc with gob: a header that names
// Function.Ping or Function.Invoke and a sequence number, then the message; the
// answer likewise. It is spoken here without net/rpc, which finds methods by
// reflection: a linker that sees that keeps every method of every type, 12 MB of
// them. Its tests speak it with net/rpc and with Tencent's messages.

// scfCall and scfReply are the headers of net/rpc; gob knows them by their fields.
type scfCall struct {
	ServiceMethod string
	Seq           uint64
}

type scfReply struct {
	ServiceMethod string
	Seq           uint64
	Error         string
}

// serveSCF answers the platform until l is closed.
func serveSCF(l net.Listener, h *scfHandler) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go serveConn(conn, h)
	}
}

// serveConn answers the calls of one connection, each as it comes, until the other
// side closes it or sends what is no call.
func serveConn(conn net.Conn, h *scfHandler) {
	defer conn.Close()
	var calls sync.WaitGroup
	defer calls.Wait()
	w := &scfWriter{buf: bufio.NewWriter(conn)}
	w.enc = gob.NewEncoder(w.buf)
	for dec := gob.NewDecoder(bufio.NewReader(conn)); ; {
		var c scfCall
		if dec.Decode(&c) != nil {
			return
		}
		switch c.ServiceMethod {
		case "Function.Ping":
			if dec.Decode(&messages.PingRequest{}) != nil {
				return
			}
			w.write(scfReply{c.ServiceMethod, c.Seq, ""}, messages.PingResponse{})
		case "Function.Invoke":
			var in messages.InvokeRequest
			if dec.Decode(&in) != nil {
				return
			}
			calls.Go(func() { w.write(scfReply{c.ServiceMethod, c.Seq, ""}, h.answer(&in)) })
		default:
			if dec.DecodeValue(reflect.Value{}) != nil {
				return
			}
			w.write(scfReply{c.ServiceMethod, c.Seq, "there is no " + c.ServiceMethod}, struct{}{})
		}
	}
}

// scfWriter writes answers, one at a time.
type scfWriter struct {
	mu  sync.Mutex
	buf *bufio.Writer
	enc *gob.Encoder
}

// write ignores faults of the connection: serveConn meets them when it reads on.
func (w *scfWriter) write(head scfReply, body any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.enc.Encode(head) == nil && w.enc.Encode(body) == nil {
		_ = w.buf.Flush()
	}
}

// answer carries out an invocation with its deadline and its environment.
func (h *scfHandler) answer(in *messages.InvokeRequest) (out messages.InvokeResponse) {
	defer func() {
		if p := recover(); p != nil {
			logPanic(context.Background(), "invocation", p)
			out = messages.InvokeResponse{Error: &messages.InvokeResponse_Error{Type: "panic", Message: "panic, see the log of request " + in.RequestId, ShouldExit: true}}
		}
	}()
	if in.Environment != "" {
		var env map[string]string
		if json.Unmarshal([]byte(in.Environment), &env) != nil {
			return failed(errors.New("the invocation's environment is no JSON object of strings"))
		}
		for name, value := range env {
			if err := os.Setenv(name, value); err != nil {
				return failed(err)
			}
		}
	}
	ctx, cancel := context.WithDeadline(context.Background(), time.Unix(in.Deadline.Seconds, in.Deadline.Nanos))
	defer cancel()
	payload, err := h.invoke(ctx, in.RequestId, in.Payload)
	if err != nil {
		return failed(err)
	}
	return messages.InvokeResponse{Payload: payload}
}

// failed is the answer of an invocation that failed, with the kind of its error.
func failed(err error) messages.InvokeResponse {
	kind := fmt.Sprintf("%T", err)
	return messages.InvokeResponse{Error: &messages.InvokeResponse_Error{Message: err.Error(), Type: kind[strings.LastIndexByte(kind, '.')+1:]}}
}
