// Package liveroom wires live rooms: their status and control, gifts, wallets and
// lotteries.
package liveroom
