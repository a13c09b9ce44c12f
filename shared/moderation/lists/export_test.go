package lists

// Looking reports whether a look is under way.
func (l *Of[T]) Looking() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.look != nil
}
