package faas

import (
	"errors"
	"testing"
	"time"
)

// No step of stopping may take for ever.
func TestStepsOfStoppingAreBounded(t *testing.T) {
	never := make(chan struct{})
	defer close(never)
	if err := within(time.Millisecond, func() error { <-never; return nil }); err == nil {
		t.Error("waited for what does not end")
	}
	closing := errors.New("the store cannot be closed")
	if err := within(time.Minute, func() error { return closing }); !errors.Is(err, closing) {
		t.Errorf("got %v", err)
	}
	if sum := requestsToFinish + workToFinish + toClose; sum >= 30*time.Second {
		t.Errorf("stopping may take %v, a supervisor kills after 30s", sum)
	}
}
