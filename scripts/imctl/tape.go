package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"
)

// entry is one recorded callback, a line of a tape.
type entry struct {
	At      time.Time       `json:"at"`
	Command string          `json:"command"`
	Query   string          `json:"query"` // without what is secret
	Body    json.RawMessage `json:"body"`
	Status  int             `json:"status"`
	Answer  json.RawMessage `json:"answer,omitempty"`
	Millis  float64         `json:"millis"`
}

// cleanQuery removes the signature from a callback's query. Anybody who has
// one may use it until it expires.
func cleanQuery(raw string) (clean string, command string, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return "", "", errors.New("the query is malformed")
	}
	command = values.Get("CallbackCommand")
	values.Del("Sign")
	values.Del("RequestTime")
	return values.Encode(), command, nil
}

// readTape calls f for each entry of a tape.
func readTape(file string, f func(entry) error) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	lines := bufio.NewReaderSize(in, 64<<10)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e entry
			if bad := json.Unmarshal(line, &e); bad != nil {
				return fmt.Errorf("%s:%d: not a recorded callback", file, n)
			}
			if err := f(e); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
