// Package match brings players together in teams and starts their matches. A
// team is a group of IM of a fixed size; when it is full, a [Hook] is told to
// start the match, exactly once, and the team is told what became of it.
package match
