//go:build !race

package imtest_test

const stormShare = 1
