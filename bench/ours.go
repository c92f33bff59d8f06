package main

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

func newOurs(pause *atomic.Int64) (subject, error) {
	s, err := newPeer()
	return subject{handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d := pause.Load(); d > 0 && r.Method == "PATCH" && strings.HasPrefix(r.URL.Path, "/v2/Users") {
			time.Sleep(time.Duration(d))
		}
		s.handler.ServeHTTP(w, r)
	}), prefix: "/v2"}, err
}
