// The checks that run in the page. Each returns findings as `<kind>: <what>`.

globalThis.look = (() => {
  /** The smallest text, in CSS pixels on the screen. */
  const SMALLEST = 11;
  /** Elements that load, send, run or embed something, or that change attributes. */
  const FORBIDDEN = 'script, iframe, frame, frameset, object, embed, applet, portal, base, link, form, foreignObject, animate, animateTransform, animateMotion, set, [http-equiv=refresh i]';
  /** Attributes with an address. */
  const ADDRESSES = ['href', 'xlink:href', 'src', 'srcset', 'action', 'formaction', 'data', 'poster', 'background', 'ping', 'cite', 'longdesc', 'manifest', 'srcdoc'];
  const CONTROLS = 'a[href], area[href], button, input, select, textarea, summary, [contenteditable], [role=button], [role=link], [role=tab], [tabindex]:not([tabindex="-1"])';
  const FOCUS = ['outlineStyle', 'outlineWidth', 'outlineColor', 'boxShadow', 'borderColor', 'backgroundColor', 'textDecorationLine', 'stroke', 'strokeWidth'];

  /** Shortens a text for a finding. Characters that a terminal does not show are written as their numbers. */
  const short = (text) => text.trim().replace(/\s+/g, ' ').slice(0, 60)
    .replace(/[\p{Cc}\p{Cf}]/gu, (character) => `\\u{${character.codePointAt(0).toString(16)}}`);

  /** Describes an element by its tag, id or class, and text. */
  const describe = (element) => {
    const mark = element.id ? `#${element.id}` : element.classList.length > 0 ? `.${[...element.classList].join('.')}` : '';
    return `<${element.localName}${mark}> "${short(element.textContent)}"`;
  };

  /** Returns the first findings of a kind, and the number of the others. */
  const few = (findings, most = 5) => {
    const distinct = [...new Set(findings)];
    const more = distinct.length - most;
    return more > 0 ? [...distinct.slice(0, most), `${distinct[0].split(':')[0]}: and ${more} more`] : distinct;
  };

  /** Adds a style, which the policy of the page does not concern. */
  const style = (css) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  };
  // What a check scrolls to is there at once.
  style('* { scroll-behavior: auto !important }');

  const isVisible = (element) => element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });

  /** Returns the part of the screen in which an element may draw, or null for the whole page. */
  const clips = new Map();
  const clip = (element) => {
    if (!element || element === document.documentElement || element === document.body) return null;
    if (clips.has(element)) return clips.get(element);
    const outer = clip(element.parentElement);
    const own = getComputedStyle(element).overflow === 'visible' ? null : element.getBoundingClientRect();
    const both = outer && own ? intersection(outer, own) : (own ?? outer);
    clips.set(element, both);
    return both;
  };

  const intersection = (a, b) => {
    const [left, top] = [Math.max(a.left, b.left), Math.max(a.top, b.top)];
    const [right, bottom] = [Math.min(a.right, b.right), Math.min(a.bottom, b.bottom)];
    return { left, top, right, bottom, width: Math.max(0, right - left), height: Math.max(0, bottom - top) };
  };

  /** Returns the texts on the page with their element and rectangles, without those for screen readers only. */
  const texts = () => {
    clips.clear();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node.parentElement;
      if (!node.data.trim() || ['STYLE', 'SCRIPT'].includes(element.tagName) || !isVisible(element)) continue;
      if (element.closest('title, desc, defs, symbol, noscript')) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      const within = clip(element);
      const drawn = (rect) => (within ? intersection(rect, within) : rect);
      const isOnPage = (rect) => rect.width > 1 && rect.height > 1 && rect.right + scrollX > 0 && rect.bottom + scrollY > 0;
      const rects = [...range.getClientRects()].map(drawn).filter(isOnPage);
      if (rects.length > 0) found.push({ element, rects, text: short(node.data) });
    }
    return found;
  };

  // Layout.

  const layout = (width) => {
    const found = texts();
    return [...overflow(width), ...smallText(found), ...clippedText(found), ...overlaps(found)];
  };

  const overflow = (width) => {
    const { scrollWidth } = document.documentElement;
    if (scrollWidth <= width) return [];
    const isCause = (element) => element.getBoundingClientRect().right + scrollX > width + 0.5 && !clip(element.parentElement);
    const causes = [...document.body.querySelectorAll('*')].filter(isCause);
    const deepest = causes.filter((element) => !causes.some((other) => other !== element && element.contains(other)));
    return [`overflow: the page is ${scrollWidth} px wide, expected at most ${width}: ${deepest.slice(0, 3).map(describe).join(', ')}`];
  };

  const smallText = (found) => few(found.flatMap(({ element, text }) => {
    const matrix = element.getScreenCTM?.();
    const scale = matrix ? Math.sqrt(Math.abs(matrix.a * matrix.d - matrix.b * matrix.c)) : 1;
    const size = parseFloat(getComputedStyle(element).fontSize) * scale;
    return size < SMALLEST - 0.01 ? [`small text: "${text}" has ${size.toFixed(1)} px, expected at least ${SMALLEST}`] : [];
  }));

  const clippedText = (found) => few(found.flatMap(({ element, text }) => {
    const image = element.ownerSVGElement;
    if (image) return isWithin(element, image) ? [] : [`clipped text: "${text}" is beyond its image`];
    return cuts(element) ? [`clipped text: "${text}" does not fit ${describe(element)}`] : [];
  }));

  const isWithin = (text, image) => {
    const [inner, outer] = [text.getBoundingClientRect(), image.getBoundingClientRect()];
    return inner.left >= outer.left - 1 && inner.right <= outer.right + 1 && inner.top >= outer.top - 3 && inner.bottom <= outer.bottom + 3;
  };

  /** Returns whether an element hides a part of its text without an ellipsis. */
  const cuts = (element) => {
    for (let box = element; box && box !== document.body; box = box.parentElement) {
      const { overflowX, overflowY, textOverflow } = getComputedStyle(box);
      const hides = (overflow) => ['hidden', 'clip'].includes(overflow);
      if (box.clientWidth <= 1) continue;
      if (hides(overflowX) && textOverflow !== 'ellipsis' && box.scrollWidth > box.clientWidth + 1) return true;
      if (hides(overflowY) && box.scrollHeight > box.clientHeight + 4) return true;
    }
    return false;
  };

  /** Finds texts that cover each other. The rectangle of a line is higher than its letters. */
  const overlaps = (found) => {
    const letters = ({ left, right, top, bottom }) => {
      const cut = (bottom - top) * 0.25;
      return { left: left + 1, right: right - 1, top: top + cut, bottom: bottom - cut };
    };
    const boxes = found.flatMap((text) => text.rects.map((rect) => ({ text, box: letters(rect) })));
    boxes.sort((a, b) => a.box.top - b.box.top);
    const pairs = [];
    boxes.forEach((a, i) => {
      for (let j = i + 1; j < boxes.length && boxes[j].box.top < a.box.bottom; j += 1) {
        const b = boxes[j];
        const covers = a.text !== b.text && a.box.left < b.box.right && b.box.left < a.box.right;
        if (covers) pairs.push(`overlap: "${a.text.text}" and "${b.text.text}"`);
      }
    });
    return few(pairs);
  };

  // Contrast of texts in images, which axe does not check, and of the focus.

  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });

  /** Returns a color as red, green, blue and opacity, from 0 to 1. */
  const rgba = (css, opacity = 1) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = css;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = [...canvas.getImageData(0, 0, 1, 1).data].map((value) => value / 255);
    return [r, g, b, a * opacity];
  };

  const over = (top, bottom) => [0, 1, 2].map((i) => top[i] * top[3] + bottom[i] * (1 - top[3])).concat(1);

  const luminance = (color) => {
    const linear = color.slice(0, 3).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };

  const ratio = (a, b) => {
    const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (light + 0.05) / (dark + 0.05);
  };

  const paper = () => (matchMedia('(prefers-color-scheme: dark)').matches ? [0.07, 0.07, 0.07, 1] : [1, 1, 1, 1]);

  /** Returns the color of an element's area, or null for one that this check cannot compute. */
  const area = (element) => {
    const style = getComputedStyle(element);
    const opacity = parseFloat(style.opacity);
    if (!(element instanceof SVGGeometryElement)) {
      return element instanceof SVGElement ? rgba('transparent') : rgba(style.backgroundColor, opacity);
    }
    if (style.fill.startsWith('url')) return null;
    return style.fill === 'none' ? rgba('transparent') : rgba(style.fill, opacity * parseFloat(style.fillOpacity));
  };

  /** Returns the color that a stack of elements shows, from the top one down. */
  const shown = (elements) => {
    const layers = [];
    for (const element of elements) {
      const color = area(element);
      if (!color) return null;
      layers.push(color);
      if (color[3] > 0.99) break;
    }
    return layers.reverse().reduce((below, layer) => over(layer, below), paper());
  };

  const contrast = () => {
    // Elements that a pointer does not reach are painted all the same.
    style('* { pointer-events: auto !important }');
    const drawn = texts().map(({ element }) => element).filter((element) => element instanceof SVGElement);
    return few([...new Set(drawn)].flatMap(ofText));
  };

  /** Compares a text with what is behind its start, its middle and its end. */
  const ofText = (element) => {
    element.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' });
    const { left, right, top, bottom } = element.getBoundingClientRect();
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    for (const x of [left + 2, (left + right) / 2, right - 2]) {
      const stack = document.elementsFromPoint(x, (top + bottom) / 2);
      const behind = shown(stack.slice(stack.indexOf(element) + 1));
      if (!behind) continue;
      const color = over(rgba(style.fill, parseFloat(style.fillOpacity) * parseFloat(style.opacity)), behind);
      const found = ratio(color, behind);
      if (found < least) return [`contrast: "${short(element.textContent)}" has ${found.toFixed(2)}, expected at least ${least}`];
    }
    return [];
  };

  // Markup.

  const markup = () => few([...forbidden(), ...policy(), ...attributes(), ...styles(), ...controls()], 10);

  const forbidden = () => [...document.querySelectorAll(FORBIDDEN)].map((element) => `markup: ${describe(element)} is not allowed`);

  const policy = () => {
    const found = [];
    const content = document.querySelector('meta[http-equiv="Content-Security-Policy" i]')?.content ?? '';
    const directives = content.split(';').map((directive) => directive.trim());
    if (!directives.includes("default-src 'none'")) found.push("markup: has no Content-Security-Policy with default-src 'none'");
    if (directives.some((directive) => /^script-src(?!.* 'none')/.test(directive))) found.push('markup: its Content-Security-Policy allows scripts');
    if (!document.querySelector('meta[name=viewport]')) found.push('markup: has no <meta name="viewport">');
    if (document.compatMode !== 'CSS1Compat') found.push('markup: has no <!doctype html>');
    return found;
  };

  const attributes = () => [...document.querySelectorAll('*')].flatMap((element) => [...element.attributes].flatMap(({ name, value }) => {
    if (/^on/i.test(name)) return [`markup: ${describe(element)} has ${name}`];
    const isAddress = ADDRESSES.includes(name) && !isAllowed(element, value);
    return isAddress ? [`markup: ${describe(element)} has ${name}=${JSON.stringify(short(value))}`] : [];
  }));

  /** Returns whether an element may have an address: a link to a place of this page or by https, or data. */
  const isAllowed = (element, address) => {
    if (address.startsWith('#')) return address === '#' || document.getElementById(decodeURIComponent(address.slice(1))) !== null;
    return element.localName === 'a' ? /^https:\/\/[a-z0-9]/.test(address) : /^data:image\/(png|svg\+xml|webp)[;,]/.test(address);
  };

  const styles = () => {
    const sheets = [...document.querySelectorAll('style')].map((style) => style.textContent);
    const inline = [...document.querySelectorAll('[style]')].map((element) => element.getAttribute('style'));
    const loads = (css) => /@import|expression\(|url\(\s*['"]?(?!#|data:image)/i.exec(css)?.[0];
    return [...sheets, ...inline].flatMap((css) => (loads(css) ? [`markup: a style has ${loads(css)}`] : []));
  };

  /** Finds characters that change the order of the text beside them, or that no reader sees. */
  const controls = () => {
    const walker = document.createTreeWalker(document, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    const found = [];
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const texts = node.data === undefined ? [...node.attributes].map(({ value }) => value) : [node.data];
      found.push(...texts.filter((text) => /[\u202a-\u202e\u2066-\u2069]|(?![\t\n\r])\p{Cc}/u.test(text)));
    }
    return found.map((text) => `markup: "${short(text)}" has a control character`);
  };

  // Keyboard.

  let seen = new Set();
  let last = null;
  let resting = new Map();

  const open = () => document.querySelectorAll('details').forEach((details) => (details.open = true));

  const focusLook = (element) => {
    const style = getComputedStyle(element);
    return FOCUS.map((property) => style[property]).join(' ');
  };

  /** Remembers how the controls look without the focus. */
  const begin = () => {
    seen = new Set();
    resting = new Map([...document.querySelectorAll('*')].filter((element) => element.tabIndex >= 0).map((element) => [element, focusLook(element)]));
    document.activeElement?.blur();
  };

  /** Describes the element with the focus. `over`: Tab has left the page, or is at a control again. */
  const focused = () => {
    const element = document.activeElement;
    last = element;
    if (!element || element === document.body || seen.has(element)) return { over: true };
    seen.add(element);
    return { findings: [...hidden(element), ...ring(element)], opens: element.localName === 'summary' };
  };

  const hidden = (element) => {
    // A link may have several lines.
    const [{ left, right, top, bottom }] = [...element.getClientRects(), new DOMRect()];
    const drawn = intersection({ left, right, top, bottom }, { left: 0, top: 0, right: innerWidth, bottom: innerHeight });
    const at = document.elementFromPoint((drawn.left + drawn.right) / 2, (drawn.top + drawn.bottom) / 2);
    const isOnTop = at !== null && (element.contains(at) || at.contains(element));
    return drawn.width > 1 && drawn.height > 1 && isOnTop && isVisible(element) ? [] : [`keyboard: ${describe(element)} is not visible with the focus`];
  };

  /** Finds a control without a focus that one can see. The browser's own ring, `auto`, has two colors. */
  const ring = (element) => {
    const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(element);
    const hasOutline = outlineStyle !== 'none' && (outlineStyle === 'auto' || parseFloat(outlineWidth) >= 2);
    if (!hasOutline && focusLook(element) === (resting.get(element) ?? '')) return [`keyboard: ${describe(element)} looks the same with the focus`];
    if (!hasOutline || outlineStyle === 'auto') return [];
    const around = [];
    for (let box = element.parentElement; box; box = box.parentElement) around.push(box);
    const behind = shown(around);
    const found = ratio(over(rgba(outlineColor), behind ?? paper()), behind ?? paper());
    return !behind || found >= 3 ? [] : [`keyboard: the focus of ${describe(element)} has a contrast of ${found.toFixed(2)}, expected at least 3`];
  };

  /** Returns the controls that Tab did not reach. */
  const missed = () => few([...document.querySelectorAll(CONTROLS)].flatMap((element) => {
    const isDisabled = element.disabled || !isVisible(element) || seen.has(element);
    const isSummary = element.localName === 'summary' && element.parentElement.localName !== 'details';
    return isDisabled || isSummary ? [] : [`keyboard: Tab does not reach ${describe(element)}`];
  }));

  const isOpen = () => last.parentElement.open;
  const name = () => describe(last);

  // Paper.

  /** Finds details whose content is not printed. */
  const closedOnPaper = () => few([...document.querySelectorAll('details')].flatMap((details) => {
    const content = [...details.children].filter((child) => child.localName !== 'summary');
    return content.length === 0 || content.some(isVisible) ? [] : [`print: the content of ${describe(details)} is not printed`];
  }));

  return { markup, layout, contrast, open, begin, focused, missed, isOpen, name, closedOnPaper };
})();
