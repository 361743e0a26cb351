"""Feeds as platforms send them, with what is odd in them."""

from __future__ import annotations

ATOM = b"""<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:yt="http://www.youtube.com/xml/schemas/2015">
  <title>Channel</title>
  <entry>
    <id> yt:video:abc </id><title>One &amp; <b>more</b></title>
    <link rel="self" href="https://upstream.test/self"/><link rel="alternate" href="https://upstream.test/abc"/>
    <published>2015-03-06T21:40:57+00:00</published><updated>2015-03-09T19:05:24.552394234+00:00</updated>
  </entry>
  <entry><id>b</id><link href="https://upstream.test/b"/><updated>2015-03-09T19:05:24Z</updated></entry>
  <entry><title>without an id</title></entry>
</feed>"""
RSS = b"""<rss version="2.0"><channel><title>Blog</title>
  <item><guid isPermaLink="false">1</guid><title>One</title><link>https://upstream.test/1</link>
    <pubDate>Fri, 06 Mar 2015 22:40:57 +0100</pubDate></item>
  <item><link>https://upstream.test/2</link><pubDate>yesterday</pubDate></item>
  <item><description>nothing to know it by</description></item>
</channel></rss>"""
