package childtest_test

import (
	"os/exec"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/childtest"
)

func TestStart(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	ended, err := childtest.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
		t.Fatal("the command has ended by itself")
	case <-time.After(10 * time.Millisecond):
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if _, err := childtest.Start(exec.Command("no-such-command")); err == nil {
		t.Error("a command that does not exist was started")
	}
}
