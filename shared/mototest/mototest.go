// Package mototest runs moto_server, an emulator of AWS services: SQS, Secrets Manager,
// and what a deployment uses together. Tests of DynamoDB alone have package dynamotest.
package mototest

import (
	"context"
	"net"
	"net/http"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/childtest"
)

// patience bounds the wait for the server, which imports half of Python first.
const patience = 60 * time.Second

var shared struct {
	sync.Mutex
	url string
	err error
}

// Start returns the URL of a moto_server on the loopback. It is started once
// for all tests of a test binary, so tests keep to tables and queues of their
// own, and it ends with the binary. The test fails if there is no moto_server;
// with -short, which needs Go alone, it is skipped.
//
// moto loses writes to DynamoDB when requests overlap: put [dynamotest.Before] in
// front of it.
func Start(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("moto_server is not part of -short")
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.url == "" && shared.err == nil {
		shared.url, shared.err = start()
	}
	if shared.err != nil {
		t.Fatalf("moto_server: %v; pip install 'moto[server]==5.2.1'", shared.err)
	}
	return shared.url
}

func start() (string, error) {
	path, err := exec.LookPath("moto_server")
	if err != nil {
		return "", err
	}
	addr, err := childtest.FreeAddr()
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	cmd := exec.Command(path, "-H", "127.0.0.1", "-p", port)
	if _, err := childtest.Start(cmd); err != nil {
		return "", err
	}
	url := "http://" + addr
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/moto-api/data.json", nil)
		if err != nil {
			return "", err
		}
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			return url, res.Body.Close()
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		time.Sleep(50 * time.Millisecond)
	}
}
