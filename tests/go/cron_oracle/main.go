// Says what robfig/cron, by which the CronJob controller computes its times, makes of a schedule.
//
// Each line of stdin is a question, each line of stdout its answer; both are JSON, times are Unix seconds. A schedule
// that never comes again has fewer times than were asked for: cron gives up after five years.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"
	"time"

	"github.com/robfig/cron/v3"
)

type question struct {
	Schedule string `json:"schedule"`
	After    int64  `json:"after"`
	Count    int    `json:"count"`
}

type answer struct {
	Error string  `json:"error"`
	Times []int64 `json:"times"`
}

func (q question) answer() answer {
	times := []int64{}
	schedule, err := cron.ParseStandard(q.Schedule)
	if err != nil {
		return answer{err.Error(), times}
	}
	moment := time.Unix(q.After, 0).UTC()
	for len(times) < q.Count {
		if moment = schedule.Next(moment); moment.IsZero() {
			break
		}
		times = append(times, moment.Unix())
	}
	return answer{"", times}
}

func main() {
	questions := json.NewDecoder(bufio.NewReader(os.Stdin))
	output := bufio.NewWriter(os.Stdout)
	answers := json.NewEncoder(output)
	for {
		var q question
		if err := questions.Decode(&q); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			log.Fatal(err)
		}
		if err := answers.Encode(q.answer()); err != nil {
			log.Fatal(err)
		}
	}
	if err := output.Flush(); err != nil {
		log.Fatal(err)
	}
}
