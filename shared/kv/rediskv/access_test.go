package rediskv

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/redistest"
)

const secret = "s3cret-p4ss"

// cannotOpen requires an error with the sentence and without the secret.
func cannotOpen(t *testing.T, url, sentence string) {
	t.Helper()
	err := inTime(t, func(ctx context.Context) error {
		s, err := Open(ctx, url, Options{})
		if err == nil {
			_ = s.Close()
		}
		return err
	})
	switch {
	case err == nil:
		t.Errorf("opened, want: %s", sentence)
	case !strings.Contains(err.Error(), sentence):
		t.Errorf("%v, want: %s", err, sentence)
	case strings.Contains(err.Error(), secret):
		t.Errorf("%v gives away the secret", err)
	}
}

func TestURL(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	noPEM := filepath.Join(t.TempDir(), "no.pem")
	if err := os.WriteFile(noPEM, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	for url, sentence := range map[string]string{
		"":                                    "the URL is missing",
		"bolt:" + secret:                      "must start with redis:// or rediss://",
		secret:                                "must start with redis:// or rediss://",
		"redis:///0":                          "needs host:port",
		"redis://localhost":                   "needs host:port",
		"redis://:6379":                       "needs host:port",
		"redis://u:" + secret + "@localhost":  "needs host:port",
		"redis://u:" + secret + "%@h:1":       "the URL is malformed",
		"redis://u:" + secret + "@h:port":     "the URL is malformed",
		"redis://" + secret + "@127.0.0.1:1":  "a user and no password",
		"redis://127.0.0.1:1/" + secret:       "must be a number",
		"redis://127.0.0.1:1/-1":              "must be a number",
		"redis://127.0.0.1:1?" + secret:       "unknown parameter",
		"redis://127.0.0.1:1?a=" + secret:     "unknown parameter",
		"redis://127.0.0.1:1?%" + secret:      "parameters are malformed",
		"redis://127.0.0.1:1?ca=" + none:      "ca= is for rediss://",
		"rediss://127.0.0.1:1?ca=" + none:     "cannot be read",
		"rediss://127.0.0.1:1?ca=" + noPEM:    "no certificate in PEM",
		"redis://127.0.0.1:1?cluster=yes":     "cluster= must be 0 or 1",
		"redis://127.0.0.1:1?addr=h:1":        "add cluster=1",
		"redis://127.0.0.1:1?cluster=1&addr=": "addr= must be host:port",
		"redis://127.0.0.1:1/1?cluster=1":     "only database 0",
		"redis://127.0.0.1:1?ca=a&ca=b":       "given twice",
		"redis://127.0.0.1:1":                 "cannot connect",
	} {
		t.Run(url, func(t *testing.T) { cannotOpen(t, url, sentence) })
	}
}

func TestEngines(t *testing.T) {
	for _, e := range []kv.Engine{Engine, TLSEngine} {
		server := redistest.Start(t)
		url := e.Scheme + "://" + server.Addr
		if e.Scheme == "rediss" {
			server = redistest.Start(t, redistest.TLS(t))
			url = e.Scheme + "://" + server.Addr + "?ca=" + server.CA
		}
		s, err := e.Open(t.Context(), url)
		if err != nil {
			t.Fatalf("%s: %v", e.Scheme, err)
		}
		if err := errors.Join(s.Commit(t.Context(), "p", "op", put("k", "v")), s.Close(), s.Close()); err != nil {
			t.Errorf("%s: %v", e.Scheme, err)
		}
		if s, err := e.Open(t.Context(), ""); err == nil || s != nil {
			t.Errorf("%s: an empty URL opened %v", e.Scheme, s)
		}
	}
}

// TestACL does everything there is with a user who may do no more than the
// package asks for.
func TestACL(t *testing.T) {
	server := redistest.Start(t, redistest.Config("user", append(
		[]string{"backchannel", "on", ">" + secret, "~bc:*", "-@all"}, strings.Fields(Commands)...)...),
		redistest.Config("user", "powerless", "on", ">"+secret, "~other:*", "-@all", "+info", "+evalsha", "+eval", "+hmget"))
	url := func(who string) string { return "redis://" + who + "@" + server.Addr + "/2" }
	now := time.Now()
	s := openFor(t, url("backchannel:"+secret), Options{Now: func() time.Time { return now }})
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.Commit(ctx, "p", "1", put("k", "v"), put("gone", "v"), kv.Put{Key: "short", Expires: now.Add(time.Minute), If: kv.Absent()}))
	must(s.Commit(ctx, "p", "2", kv.Put{Key: "k", If: kv.Rev("1"), Expires: now.Add(time.Hour)}, kv.Add{Key: "n", Deltas: []kv.Delta{one}}))
	must(s.Commit(ctx, "p", "3", kv.Put{Key: "k", If: kv.Rev("2")}, kv.Delete{Key: "gone", If: kv.Rev("1")}, kv.Check{Key: "n", If: kv.Rev("2")}))
	tally := func(event string) {
		t.Helper()
		_, err := s.Tally(ctx, "p", "s", kv.Event{ID: event, At: now}, one)
		must(err)
	}
	tally("a")
	fold := kv.FoldOptions{Closed: func(kv.Segment) bool { return true }, Into: func(string) string { return "total" }}
	for _, event := range []string{"b", "c"} {
		_, err := kv.Fold(ctx, s, "p", fold)
		must(err)
		tally(event)
	}
	now = now.Add(2 * time.Hour)
	must(s.Commit(ctx, "p", "4", put("later", "v")))
	_, err := s.List(ctx, "p", kv.Range{Reverse: true})
	must(err)
	if sums, err := kv.Totals(ctx, s, "p", "total"); err != nil || sums["n"] != 3 {
		t.Fatalf("%v, %v", sums, err)
	}
	_, err = s.Get(ctx, "p", "k")
	must(err)

	powerless := openFor(t, "redis://powerless:"+secret+"@"+server.Addr, Options{})
	refused(t, powerless, "the ACL user lacks a command or the keys bc:*")
	cannotOpen(t, url("backchannel:wrong-"+secret), "refuses the user and password")
	cannotOpen(t, url("nobody:"+secret), "refuses the user and password")
}

func TestPassword(t *testing.T) {
	server := redistest.Start(t, redistest.Config("requirepass", secret))
	openFor(t, "redis://:"+secret+"@"+server.Addr, Options{})
	cannotOpen(t, "redis://"+server.Addr, "wants a user and password")
	cannotOpen(t, "redis://:wrong-"+secret+"@"+server.Addr, "refuses the user and password")
	cannotOpen(t, "redis://"+server.Addr+"?cluster=1", "wants a user and password")
	open := redistest.Start(t)
	cannotOpen(t, "redis://"+open.Addr+"/16", "no such database")
	cannotOpen(t, "redis://"+open.Addr+"?cluster=1", "remove cluster=1")
}

func TestTLS(t *testing.T) {
	server := redistest.Start(t, redistest.TLS(t))
	_, port, _ := net.SplitHostPort(server.Addr)
	openFor(t, "rediss://"+server.Addr+"?ca="+server.CA, Options{})
	cannotOpen(t, "rediss://"+server.Addr, "name the CA's file with ca=")
	cannotOpen(t, "rediss://localhost:"+port+"?ca="+server.CA, "for another host")
	cannotOpen(t, "rediss://"+answering(t, "ERR Protocol error"), "use redis://")
	cannotOpen(t, "redis://:"+secret+"@"+server.Addr, "lost")
}

// answering is a server that gives every script the same answer.
func answering(t *testing.T, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	serve := func(c net.Conn) {
		defer c.Close()
		for in := bufio.NewReader(c); ; {
			command, err := readCommand(in)
			reply := "-" + answer + "\r\n"
			if err != nil {
				_, _ = io.WriteString(c, reply) // as Redis does, before it hangs up
				return
			}
			switch strings.ToLower(command) {
			case "info":
				reply = "$0\r\n\r\n"
			case "hello":
				reply = "-ERR unknown command\r\n"
			}
			if _, err := io.WriteString(c, reply); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().String()
}

// readCommand reads a command and returns its name.
func readCommand(in *bufio.Reader) (name string, err error) {
	var n, size int
	if _, err := fmt.Fscanf(in, "*%d\r\n", &n); err != nil {
		return "", err
	}
	for i := range n {
		if _, err := fmt.Fscanf(in, "$%d\r\n", &size); err != nil {
			return "", err
		}
		word := make([]byte, size+2)
		if _, err := io.ReadFull(in, word); err != nil {
			return "", err
		}
		if i == 0 {
			name = string(word[:size])
		}
	}
	return name, nil
}

// TestAnswers goes through what servers say that cannot be had from one here at
// will. Their words may quote what they were sent, so none gets through.
func TestAnswers(t *testing.T) {
	for answer, sentence := range map[string]string{
		"LOADING Redis is loading the dataset in memory":                             "loading its data",
		"TRYAGAIN Multiple keys request during rehashing of slot":                    "moving the partition",
		"CLUSTERDOWN The cluster is down":                                            "lost nodes",
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set":    "replica without its primary",
		"ERR max number of clients reached":                                          "raise maxclients",
		"MISCONF Errors writing to the AOF file: No space left on device " + secret:  "cannot write to its disk",
		"NOREPLICAS Not enough good replicas to write.":                              "min-replicas-to-write",
		"ERR unknown command `evalsha`, with args beginning with: `" + secret + "` ": "the server answers ERR",
		"WRONGTYPE " + secret: "the server answers WRONGTYPE",
		// So does Redis 6 report what goes wrong within a script.
		"ERR Error running script (call to f_0c): @user_script:9: @user_script: 9: -OOM command not allowed when used memory > 'maxmemory'.": "memory is full",
		"ERR Error running script (call to f_0c): @user_script:9: @user_script: 9: The user executing the script can't run this command":     "ACL user lacks",
	} {
		t.Run(sentence, func(t *testing.T) {
			s := openFor(t, "redis://"+answering(t, answer), Options{})
			refused(t, s, sentence)
		})
	}
}
