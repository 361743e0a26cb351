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


def rss(*items: str, head: str = '<?xml version="1.0"?>', root: str = '<rss version="2.0">') -> str:
    """Return an RSS feed with these items' elements, each item in a line of its own: the first one in line 2."""
    lines = "".join(f"\n<item>{item}</item>" for item in items)
    return f"{head}{root}<channel><title>T</title>{lines}\n</channel></rss>"


def atom(*entries: str, root: str = '<feed xmlns="http://www.w3.org/2005/Atom">') -> str:
    """Return an Atom feed with these entries' elements."""
    lines = "".join(f"\n<entry>{entry}</entry>" for entry in entries)
    return f'<?xml version="1.0" encoding="utf-8"?>{root}<title>T</title>{lines}\n</feed>'


def rdf(*items: str) -> str:
    """Return an RSS 1.0 feed with these items."""
    return (
        '<?xml version="1.0"?><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns="http://purl.org/rss/1.0/">'
        '<channel rdf:about="https://upstream.test/"><title>T</title></channel>' + "".join(items) + "</rdf:RDF>"
    )


ONE = "<guid>1</guid><title>{}</title>"
MARK, BLANKS = "\ufeff", " \n\t\r\n"
TEXT = "Grüße, 中文 日本 한국 \N{ROCKET} & more".replace("&", "&amp;")
WORDS = {
    "gb2312": "中文新闻",
    "gbk": "中文新闻",
    "gb18030": "中文新闻",
    "big5": "中文新聞",
    "shift_jis": "日本語の記事",
    "euc-jp": "日本語の記事",
    "iso-2022-jp": "日本語の記事",
    "euc-kr": "한국어 기사",
    "windows-1251": "Новости",
    "koi8-r": "Новости",
    "iso-8859-2": "Zażółć",
    "iso-8859-15": "10 €",
    "windows-1252": "Grüße “x”",
    "utf-8": "Grüße 中文",
    "utf-16": "Grüße 中文",
}
"""A title in each encoding that feeds declare."""


def declared(encoding: str, words: str) -> bytes:
    """Return a feed that declares its encoding, in that encoding."""
    return rss(ONE.format(words), head=f'<?xml version="1.0" encoding="{encoding}"?>').encode(encoding)


BEFORE = {
    "a line": "\n",
    "blanks": BLANKS,
    "a mark": MARK,
    "a mark and blanks": MARK + BLANKS,
    "two marks": MARK + MARK,
    "blanks, a mark": BLANKS + MARK,
    "a program's warning": "<br />\n<b>Warning</b>: include() failed in /x.php on line <b>3</b><br />\n",
    "text": "hello\n",
    "a comment": "<!-- made by hand -->\n",
    "a doctype": '<!DOCTYPE rss PUBLIC "-//Netscape Communications//DTD RSS 0.91//EN" "http://upstream.test/rss.dtd">\n',
}
"""What stands before documents that are feeds all the same."""

TITLES = {
    "plain": ("One", "One"),
    "an entity of XML": ("a &amp; b &lt; c", "a & b < c"),
    "an entity of HTML": ("a&nbsp;b &eacute;&rsquo;&hellip;", "a b é\N{RIGHT SINGLE QUOTATION MARK}…"),
    "an entity twice": ("AT&amp;amp;T", "AT&T"),
    "an ampersand": ("Tom & Jerry &c", "Tom & Jerry &c"),
    "an unknown entity": ("a&nosuchthing;b", "ab"),
    "less than": ("1 < 2 <3", "1 < 2 <3"),
    "cdata": ("<![CDATA[a & b &nbsp;<b>c</b>]]>", "a & b c"),
    "markup, escaped": ("&lt;b&gt;One&lt;/b&gt; &lt;p&gt;two", "One two"),
    "markup, not escaped": ("<b>One</b> two", "One two"),
    "numbers": ("&#233;&#x1F680;", "é\N{ROCKET}"),
    "halves of a character": ("&#xD83D;&#xDE80; &#55357;&#56960;", "\N{ROCKET} \N{ROCKET}"),
    "half a character": ("a&#xD83D;b", "a\ufffdb"),
    "numbers of Windows-1252": ("&#147;x&#x94; &#128;", "“x” €"),
    "numbers of nothing": ("a&#0;&#8;&#xFFFF;&#99999999;&#AB;b", "a\ufffdb"),
    "half a number": ("a &# b &#; c", "a b c"),
    "upper case": ("a &AMP; b", "a & b"),
    "an end tag of nothing": ("a </b> c", "a"),
    "an instruction": ("a<?php echo 1 ?>b", "ab"),
    "brackets": ("a ]]> b", "a ]]> b"),
    "a condition of Outlook": ("a<![if mso]>b<![endif]-->c", "a<![if mso]>b<![endif]-->c"),
    "two sections": ("<![CDATA[a]]> <![CDATA[b]]>", "a b"),
    "a control character": ("a\x0bb\x08c", "abc"),
    "lines": ("\n  One\n  two\t", "One two"),
    "a script": ("&lt;script&gt;x()&lt;/script&gt;One", "One"),
}
"""Titles of RSS as they are written, and what a person reads."""

TIMES = {
    "Fri, 06 Mar 2015 22:40:57 +0100": "2015-03-06T21:40:57",
    "Fri, 06 Mar 2015 21:40:57 GMT": "2015-03-06T21:40:57",
    "06 Mar 2015 21:40 UT": "2015-03-06T21:40:00",
    "Fri, 6 Mar 15 16:40:57 EST": "2015-03-06T21:40:57",
    "Fri, 06 Mar 2015 22:40:57 CET": "2015-03-06T21:40:57",
    "Fri, 06 Mar 2015 22:40:57 CEST": "2015-03-06T20:40:57",
    "Sat, 07 Mar 2015 06:40:57 JST": "2015-03-06T21:40:57",
    "Sat, 07 Mar 2015 00:40:57 MSK": "2015-03-06T21:40:57",
    "Fri, 06 Mar 2015 22:40:57 GMT+0100": "2015-03-06T21:40:57",
    "Fri, 06 Mar 2015 22:40:57 UTC+1": "2015-03-06T21:40:57",
    "Fri, 06 Mar 2015 22:40:57 +01:00": "2015-03-06T21:40:57",
    "Fri, 06 Mar 2015 22:40:57 +0100 (Mitteleuropa)": "2015-03-06T21:40:57",
    "2015-03-06T22:40:57+01:00": "2015-03-06T21:40:57",
    "2015-03-06T21:40:57Z": "2015-03-06T21:40:57",
    "2015-03-06 21:40:57": "2015-03-06T21:40:57",
    "2015-03-06": "2015-03-06T00:00:00",
    "2015-03-06 22:40:57 +0100": "2015-03-06T21:40:57",
    "2015-03-06 21:40:57 UTC": "2015-03-06T21:40:57",
    "2015-03-06T22:40:57.5 CET": "2015-03-06T21:40:57.500000",
    "2015-03": "2015-03-01T00:00:00",
    "2015": "2015-01-01T00:00:00",
    "Tues, 08 Sept 2015 21:40:57 GMT": "2015-09-08T21:40:57",
    "8 September 2015 21:40 +0000": "2015-09-08T21:40:00",
    " Fri, 06 Mar 2015 21:40:57 GMT\n": "2015-03-06T21:40:57",
    "Fri, 06 Mar 9999 21:40:57 GMT": "9999-03-06T21:40:57",
    "Fri, 06 Mar 2015 21:40:57 XYZT": None,
    "venerdì 6 marzo 2015": None,
    "Fri, 06 Mar 2015 24:40:57 GMT": None,
    "yesterday": None,
    "": None,
}
"""Times of RSS as they are written, and what they mean in UTC."""
